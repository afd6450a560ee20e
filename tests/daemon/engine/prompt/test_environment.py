"""Chat templates are rendered as Transformers renders them, and what they may not do they cannot."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from support.vocabularies import byte_level
from transformers import PreTrainedTokenizerFast

from mlx_serve.daemon.engine.prompt.environment import Template, TooLong
from mlx_serve.daemon.engine.prompt.prompt_frames import ModelData
from mlx_serve.daemon.engine.prompt.refused import Refused
from mlx_serve.daemon.engine.prompt.render import Prompts
from mlx_serve.daemon.engine.prompt.text.encoding import open_encoding, tokenizer_data
from mlx_serve.daemon.protocol import ChatPrompt, Generate

MESSAGES = (
    {"role": "system", "content": "be <brief> & kind"},
    {"role": "user", "content": "hello é日", "name": None},
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"b": 1, "a": "é"}}}]},
    {"role": "tool", "content": "7"},
    {"role": "assistant", "content": " once upon ", "reasoning_content": "hm"},
)
TOOLS = ({"type": "function", "function": {"name": "f", "parameters": {"z": 1, "a": [1, 2.5, None, True]}}},)
TEMPLATES = {
    "blocks": "{% for m in messages %}\n  {% if m.role != 'tool' %}\n{{ m.role }}: {{ m.content }}\n  {% endif %}\n"
    "{% endfor %}\nend",
    "control": "{% for m in messages %}{% if m.role == 'tool' %}{% continue %}{% endif %}{{ m.role }}"
    "{% if loop.index == 4 %}{% break %}{% endif %}{% endfor %}",
    "json": "{{ tools | tojson }}{{ tools | tojson(indent=2) }}{{ messages[2] | tojson(sort_keys=True) }}"
    "{{ messages[2].tool_calls | tojson(ensure_ascii=True, separators=(',', ':')) }}",
    "namespace": "{% set ns = namespace(found=false, n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{% endfor %}{{ ns.n }}{{ ns.found }}{{ dict(a=1) }}{{ dict.fromkeys(['x']) }}",
    "generation": "{% for m in messages %}{% set x = 'outer' %}{% generation %}{% set x = 'inner' %}{{ m.content }}"
    "{% endgeneration %}{{ x }}{% endfor %}",
    "special": "{{ bos_token }}|{{ eos_token }}|{{ pad_token is defined }}|{{ documents is none }}|{{ nothing }}",
    "null": "{% for m in messages %}{{ 'name' in m }}{{ m.thinking }}{{ m.reasoning_content }}{% endfor %}",
    "macro": "{% macro turn(m) -%} <{{ m.role }}> {%- endmacro %}{% for m in messages %}{{ turn(m) }}{% endfor %}"
    "{{ add_generation_prompt }}",
    "filters": "{{ messages[0].content | trim | upper }}{{ messages | map(attribute='role') | join(',') }}"
    "{{ messages | selectattr('role', 'eq', 'tool') | list | length }}{{ messages[1].content.split('l') }}",
    "time": "{{ strftime_now('%Y-%m') }}",
    "strings": "{{ messages[0]['content'] + '!' }}{{ 'a' ~ 1 ~ none }}{{ '%s' % 'x' }}{{ messages[-1].content[1:5] }}",
}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_level()


def rendered(tokenizer: PreTrainedTokenizerFast, template: str, messages: Any = MESSAGES, **options: Any) -> str:
    data = replace(tokenizer_data(tokenizer), template=template)
    prompts = Prompts(data, ModelData(rows=len(tokenizer), context_length=4096), open_encoding(data))
    return prompts.prepare(Generate(prompt=ChatPrompt(messages=messages, **options), render_only=True)).rendered


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_writes_what_it_does_with_transformers(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    for tools in ((), TOOLS):
        theirs = tokenizer.apply_chat_template(
            [dict(message) for message in MESSAGES],
            tools=list(tools) or None,
            chat_template=TEMPLATES[name],
            tokenize=False,
            add_generation_prompt=True,
        )
        assert rendered(tokenizer, TEMPLATES[name], tools=tools) == theirs


PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b "}]
CONTINUED: list[Any] = ["once", " once upon ", "once\n", "", PARTS]
PLAIN = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content if m.content is string else m.content[-1].text }}</>{% endfor %}"
)


@pytest.mark.parametrize("content", CONTINUED, ids=repr)
@pytest.mark.parametrize("template", [PLAIN, PLAIN.replace("m.content if", "m.content | trim if")])
def test_a_message_that_goes_on_ends_where_it_does_with_transformers(
    tokenizer: PreTrainedTokenizerFast, content: Any, template: str
) -> None:
    chat = ({"role": "user", "content": "hi"}, {"role": "assistant", "content": content})
    theirs = tokenizer.apply_chat_template(
        [dict(message) for message in chat], chat_template=template, tokenize=False, continue_final_message=True
    )
    assert rendered(tokenizer, template, chat, continue_last=True) == theirs
    assert chat[1]["content"] == content


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (PLAIN, {"role": "assistant"}),
        (PLAIN, {"role": "assistant", "content": [{"type": "image"}]}),
        ("{{ messages[0].content }}", {"role": "assistant", "content": "lost"}),
        ("{{ messages[0].role }}", {"role": "assistant", "content": "unread"}),
    ],
)
def test_a_message_that_cannot_go_on_is_refused(
    tokenizer: PreTrainedTokenizerFast, template: str, message: dict[str, Any]
) -> None:
    chat = ({"role": "user", "content": "hi"}, message)
    with pytest.raises(ValueError, match="continue_final_message"):
        tokenizer.apply_chat_template(
            [dict(each) for each in chat], chat_template=template, tokenize=False, continue_final_message=True
        )
    with pytest.raises(Refused) as caught:
        rendered(tokenizer, template, chat, continue_last=True)
    assert caught.value.code == "template_error"


@pytest.mark.parametrize(
    "escape",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ namespace(__class__=1) }}",
        "{% set ns = namespace() %}{% set ns._x = 1 %}",
        "{{ dict.__init__.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ range(100001) | list | length }}",
    ],
)
def test_a_template_stays_in_its_sandbox(tokenizer: PreTrainedTokenizerFast, escape: str) -> None:
    with pytest.raises(Refused) as caught:
        rendered(tokenizer, escape)
    assert caught.value.code in ("invalid_request", "template_error")


def test_a_template_that_writes_too_much_is_stopped_while_it_does() -> None:
    template = Template("{% for i in range(99999) %}{% for j in range(99999) %}0123456789{% endfor %}{% endfor %}")
    with pytest.raises(TooLong):
        template.render({}, 1000)
    assert Template("{{ x }}").render({"x": "y" * 1000}, 1000) == "y" * 1000


def test_what_a_rendered_prompt_is_too_long_for_is_said(tokenizer: PreTrainedTokenizerFast) -> None:
    """Of what the template has written, when the messages alone would do."""
    for count in (200_000, 2_000_000):
        with pytest.raises(Refused) as caught:
            rendered(tokenizer, "{% for i in range(" + str(count // 100) + ") %}" + "ab" * 50 + "{% endfor %}")
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
        assert "4096 tokens" in str(caught.value)
