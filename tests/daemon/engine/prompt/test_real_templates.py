"""Chat templates of some fifty families, rendered as Transformers renders them. They are other people's work: the tests
skip where the folder that holds them is absent."""

from __future__ import annotations

import copy
import functools
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.vocabularies import byte_level
from transformers import PreTrainedTokenizerFast

from mlx_serve.daemon.engine.output.formats.table import capabilities, find_family
from mlx_serve.daemon.engine.prompt.chat.described_tools import with_described_tools
from mlx_serve.daemon.engine.prompt.chat.variants import with_absent_content
from mlx_serve.daemon.engine.prompt.prompt_frames import ModelData
from mlx_serve.daemon.engine.prompt.refused import Refused
from mlx_serve.daemon.engine.prompt.render import Prompts
from mlx_serve.daemon.engine.prompt.text.encoding import open_encoding, tokenizer_data
from mlx_serve.daemon.protocol import ChatPrompt, Generate
from mlx_serve.store.inspect.kinds import template_capabilities

BESIDE = [parent / "shared" / "templates" for parent in Path(__file__).resolve().parents[5:7]]
GIVEN = os.environ.get("MLX_SERVE_TEMPLATES")
FILES = next((sorted(folder.glob("*.jinja")) for folder in ([Path(GIVEN)] if GIVEN else BESIDE) if folder.is_dir()), [])
pytestmark = pytest.mark.skipif(not FILES, reason="the folder of real chat templates is not here")

TOOLS = (
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Its name."},
                    "days": {"type": "integer", "description": "How many."},
                },
                "required": ["city"],
            },
        },
    },
)
CALL = {
    "type": "function",
    "id": "a1B2c3D4e",
    "function": {"name": "weather", "arguments": {"city": "北京", "days": 2}},
}
OUT_OF_ORDER = ("MiroThinker",)
"""It assigns to messages, which Jinja's templates cannot."""
NUMBERED = ("moonshotai-Kimi-K2",)
"""It shows a result's id, which has to be a call's name and number."""
USER = {"role": "user", "content": "How is the weather? 天気"}
ANSWER = {"role": "assistant", "content": "Fine."}
CONVERSATIONS: dict[str, tuple[tuple[dict[str, Any], ...], bool]] = {
    "user": ((USER,), False),
    "system": (({"role": "system", "content": "Be brief."}, USER), False),
    "turns": ((USER, ANSWER, {"role": "user", "content": "And there?"}), False),
    "tools": ((USER,), True),
    "call": ((USER, {"role": "assistant", "content": "", "tool_calls": [CALL]}), True),
    "result": (
        (
            USER,
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "name": "weather", "tool_call_id": "a1B2c3D4e", "content": "14 degrees"},
        ),
        True,
    ),
}


@functools.cache
def prompts_of(tokenizer: PreTrainedTokenizerFast, template: str) -> Prompts:
    data = replace(tokenizer_data(tokenizer), template=template)
    model = ModelData(rows=len(tokenizer), context_length=1 << 16)
    return Prompts(data, model, open_encoding(data))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_level()


def rendered(tokenizer: PreTrainedTokenizerFast, template: str, messages: Any, tools: Any, **options: Any) -> str:
    prompt = ChatPrompt(messages=messages, tools=tools, **options)
    return prompts_of(tokenizer, template).prepare(Generate(prompt=prompt, render_only=True)).rendered


@pytest.mark.parametrize("case", CONVERSATIONS)
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_conversation_is_rendered_as_transformers_renders_it(
    tokenizer: PreTrainedTokenizerFast, path: Path, case: str
) -> None:
    """And where Transformers cannot render it, for the template takes no such messages, it is rendered all the same."""
    template = path.read_text(encoding="utf-8")
    messages, with_tools = CONVERSATIONS[case]
    tools = TOOLS if with_tools else ()
    if tools and "tools" not in capabilities(template):
        pytest.skip("its template takes no tools")
    family = find_family(template).name
    given = with_described_tools(with_absent_content(copy.deepcopy([*messages]), template), tools, template, family)
    try:
        expected = tokenizer.apply_chat_template(
            given,
            tools=[*copy.deepcopy(tools)] or None,
            chat_template=template,
            tokenize=False,
            add_generation_prompt=True,
        )
    except Exception:
        expected = None
    if expected is None and path.stem in OUT_OF_ORDER:
        with pytest.raises(Refused):
            rendered(tokenizer, template, messages, tools)
        return
    found = rendered(tokenizer, template, messages, tools)
    if expected is None:
        assert USER["content"] in found
    elif "{'city': '北京', 'days': 2}" in expected:
        assert '{"city": "北京", "days": 2}' in found
    elif path.stem in NUMBERED:
        assert found == expected.replace("a1B2c3D4e", "functions.weather:0")
    else:
        assert found == expected


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_what_is_shown_of_a_model_is_what_it_does(path: Path) -> None:
    """The store looks at the template alone, the engine finds the family: they promise the same."""
    template = path.read_text(encoding="utf-8")
    assert set(template_capabilities("llm", template)) == {"completion", *capabilities(template)}


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_thinking_models_template_hears_of_it(tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    """Where a template has a word for it, thinking and not thinking are different prompts."""
    template = path.read_text(encoding="utf-8")
    words = ("enable_thinking", "thinking is defined", "reasoning_effort", "thinking_budget", "elif thinking")
    if not any(word in template for word in words):
        pytest.skip("its template has no word for it")
    on = rendered(tokenizer, template, (USER,), (), thinking=True)
    assert on != rendered(tokenizer, template, (USER,), (), thinking=False)
