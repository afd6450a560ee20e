"""Messages in the form that a template can take, and thinking under the name that it has there."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from msgspec.structs import replace
from support.spoken_calls import TEMPLATES
from support.vocabularies import byte_level
from transformers import PreTrainedTokenizerFast

from mlx_serve.daemon.engine.prompt.chat.answer_family import AnswerFamilies
from mlx_serve.daemon.engine.prompt.chat.template_variables import thinking_variables
from mlx_serve.daemon.engine.prompt.chat.variants import variants, with_turns
from mlx_serve.daemon.engine.prompt.prompt_frames import ModelData
from mlx_serve.daemon.engine.prompt.refused import Refused
from mlx_serve.daemon.engine.prompt.render import Prompts
from mlx_serve.daemon.engine.prompt.text.encoding import open_encoding, tokenizer_data
from mlx_serve.daemon.protocol import ChatPrompt, Generate

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "hi"}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"function": {"name": "f", "arguments": {"a": "é", "b": [1]}}}],
}
TEXT = '{"a": "é", "b": [1]}'


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_level()


def rendered(tokenizer: PreTrainedTokenizerFast, template: str, *messages: dict[str, Any], **options: Any) -> str:
    data = replace(tokenizer_data(tokenizer), template=template)
    prompts = Prompts(data, ModelData(rows=len(tokenizer), context_length=4096), open_encoding(data))
    return prompts.prepare(Generate(prompt=ChatPrompt(messages=messages, **options), render_only=True)).rendered


EACH = "{% for m in messages %}{{ m.role }}:{{ m.content }}|{% endfor %}"


def test_a_template_without_a_system_role(tokenizer: PreTrainedTokenizerFast) -> None:
    """What it says stands in front of the user's first words."""
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + EACH
    assert rendered(tokenizer, template, SYSTEM, USER) == "user:Be brief.\n\nhi|"
    assert rendered(tokenizer, template, SYSTEM) == "user:Be brief.|"


def test_a_template_with_one_system_message(tokenizer: PreTrainedTokenizerFast) -> None:
    template = (
        "{% for m in messages[1:] %}{% if m.role == 'system' %}{{ raise_exception('first') }}{% endif %}{% endfor %}"
    )
    assert rendered(tokenizer, template + EACH, SYSTEM, USER, {"role": "system", "content": "Now."}, USER) == (
        "system:Be brief.\n\nNow.|user:hi|user:hi|"
    )


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% for c in m.tool_calls %}{{ '>' + c.function.arguments }}{% endfor %}{% endfor %}",
        "{% for m in messages %}{% for c in m.tool_calls %}>{{ c.function.arguments }}{% endfor %}{% endfor %}",
    ],
)
def test_a_template_that_wants_arguments_as_text(tokenizer: PreTrainedTokenizerFast, template: str) -> None:
    """One that fails on an object, and one that would show it as Python does."""
    assert rendered(tokenizer, template, USER, CALL) == ">" + TEXT


def test_a_template_that_goes_through_no_tools(tokenizer: PreTrainedTokenizerFast) -> None:
    template = "{% if tools is defined %}{% for t in tools %}{{ t }}{% endfor %}{% endif %}" + EACH
    assert rendered(tokenizer, template, USER) == "user:hi|"


def test_what_no_form_helps_is_told_as_it_was_first(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(Refused, match="never"):
        rendered(tokenizer, "{{ raise_exception('never') }}", SYSTEM, USER, CALL)


def test_forms_are_different_and_the_original_stays() -> None:
    messages = [SYSTEM, USER, CALL, {"role": "system", "content": "x"}]
    before = copy.deepcopy(messages)
    found = list(variants(messages))
    assert messages == before
    assert all(form != messages for form in found) and len(found) == 5
    assert list(variants([USER])) == []


@pytest.mark.parametrize(
    ("thinking", "known", "efforts", "found"),
    [
        (None, {"enable_thinking"}, {}, {}),
        (True, {"enable_thinking"}, {}, {"enable_thinking": True}),
        (False, {"thinking"}, {}, {"enable_thinking": False, "thinking": False}),
        ("low", {"reasoning_effort"}, {}, {"enable_thinking": True, "reasoning_effort": "low"}),
        (False, {"reasoning_effort"}, {}, {"enable_thinking": False, "reasoning_effort": "low"}),
        ("low", {"reasoning_effort"}, {"low": "high"}, {"enable_thinking": True, "reasoning_effort": "high"}),
        ("low", {"reasoning_effort"}, {"low": ""}, {"enable_thinking": True}),
        (
            False,
            {"reasoning"},
            {"none": "none"},
            {"enable_thinking": False, "reasoning": False, "reasoning_effort": "none"},
        ),
        (False, {"thinking_budget"}, {}, {"enable_thinking": False, "thinking_budget": 0}),
        ("low", {"thinking_budget"}, {}, {"enable_thinking": True, "reasoning_effort": "low", "thinking_budget": 512}),
    ],
)
def test_thinking_by_the_templates_own_name(thinking: Any, known: Any, efforts: Any, found: Any) -> None:
    assert thinking_variables(thinking, known, efforts) == found


def test_a_budget_is_announced_where_the_template_does() -> None:
    assert thinking_variables(None, {"thinking_budget"}, {}, 100) == {"thinking_budget": 100}
    assert thinking_variables("low", {"thinking_budget"}, {}, 100)["thinking_budget"] == 100
    assert thinking_variables(None, set(), {}, 100) == {}


def test_an_answer_to_be_continued_in_its_thought(tokenizer: PreTrainedTokenizerFast) -> None:
    def inside(text: str) -> bool:
        template = "{% for m in messages %}{{ m.content }}\n{% endfor %}{# </think> #}"
        data = replace(tokenizer_data(tokenizer), template=template)
        prompts = Prompts(data, ModelData(rows=len(tokenizer), context_length=4096), open_encoding(data))
        messages = (USER, {"role": "assistant", "content": text})
        prompt = ChatPrompt(messages=messages, continue_last=True)
        return prompts.prepare(Generate(prompt=prompt, render_only=True)).inside_reasoning

    assert inside("<think>so") and inside("<think>")
    assert not inside("<think>so</think>yes") and not inside("yes")


def test_a_template_that_wants_turns_to_alternate(tokenizer: PreTrainedTokenizerFast) -> None:
    """Agents give the surroundings and the task in messages of their own: they are one turn, with a system message or
    without, where the template refuses two."""
    alternate = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
        "{% if not loop.first and m.role == messages[loop.index0 - 1].role %}{{ raise_exception('twice') }}{% endif %}"
        "{% endfor %}"
    )
    more = {"role": "user", "content": "what now?"}
    assert rendered(tokenizer, alternate + EACH, USER, more) == "user:hi\n\nwhat now?|"
    assert rendered(tokenizer, alternate + EACH, SYSTEM, USER, more) == "user:Be brief.\n\nhi\n\nwhat now?|"
    assert rendered(tokenizer, EACH, USER, more) == "user:hi|user:what now?|"


def test_two_turns_of_which_one_has_pictures_are_one() -> None:
    pictured = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "see"}]}
    (joined,) = with_turns([dict(USER), copy.deepcopy(pictured)])
    assert joined["content"] == [
        {"type": "text", "text": "hi"},
        {"type": "text", "text": "\n\n"},
        {"type": "image"},
        {"type": "text", "text": "see"},
    ]


@pytest.mark.parametrize("shown", ["0", "-1"])
def test_a_template_that_leaves_out_system_messages(tokenizer: PreTrainedTokenizerFast, shown: str) -> None:
    """It shows the first, or the last: then all of them are one."""
    template = (
        "{% set s = messages | selectattr('role', 'equalto', 'system') | list %}"
        "system:{{ s[" + shown + "].content }}|"
        "{% for m in messages %}{% if m.role != 'system' %}{{ m.role }}:{{ m.content }}|{% endif %}{% endfor %}"
    )
    later = {"role": "system", "content": "Now in French."}
    assert rendered(tokenizer, template, SYSTEM, USER, later, USER) == (
        "system:Be brief.\n\nNow in French.|user:hi|user:hi|"
    )
    assert rendered(tokenizer, template, SYSTEM, USER) == "system:Be brief.|user:hi|"
    blind = "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}|{% endif %}{% endfor %}"
    assert rendered(tokenizer, blind, SYSTEM, USER, later) == "hi|"


@pytest.mark.parametrize(
    ("name", "thinking", "word"),
    [
        *(("harmony", each, each) for each in ("low", "medium", "high")),
        ("harmony", False, "low"),
        ("glm", "low", "high"),
        ("glm", "medium", "high"),
        ("glm", "high", "high"),
        ("deepseek-dsml", "low", ""),
        ("deepseek-dsml", "medium", ""),
        ("deepseek-dsml", "high", "high"),
        ("command-r7b", False, "none"),
        ("hermes", "low", "low"),
    ],
)
def test_efforts_in_a_familys_own_words(
    tokenizer: PreTrainedTokenizerFast, name: str, thinking: Any, word: str
) -> None:
    """What a template reads as `reasoning_effort`; families that know other words get the nearest."""
    template = "{# " + TEMPLATES[name] + " #}|{{ reasoning_effort }}"
    assert rendered(tokenizer, template, USER, thinking=thinking) == "|" + word


def test_a_budget_without_markers_is_refused() -> None:
    """Nobody would know where a thought ends; with markers, in the template or the vocabulary, it is taken."""
    prompt = ChatPrompt(messages=(USER,), thinking_budget=5)
    with pytest.raises(Refused, match="thinking_budget"):
        AnswerFamilies("{{ enable_thinking }}", frozenset(), {}).check_budget(prompt)
    AnswerFamilies("{{ enable_thinking }}", frozenset(), {}).check_budget(replace(prompt, thinking_budget=None))
    AnswerFamilies("<think>", frozenset(), {}).check_budget(prompt)
    AnswerFamilies("{{ enable_thinking }}", frozenset({"<think>", "</think>"}), {}).check_budget(prompt)
