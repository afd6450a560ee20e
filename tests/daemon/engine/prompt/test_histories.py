"""Histories with calls: their ids as templates want them, and tools for templates that have no place for them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from msgspec.structs import replace
from support.vocabularies import byte_level
from transformers import PreTrainedTokenizerFast

from mlx_serve.daemon.engine.output.formats.table import capabilities, find_family
from mlx_serve.daemon.engine.prompt.chat.call_ids import with_ids
from mlx_serve.daemon.engine.prompt.chat.described_tools import with_described_tools
from mlx_serve.daemon.engine.prompt.prompt_frames import ModelData
from mlx_serve.daemon.engine.prompt.render import Prompts
from mlx_serve.daemon.engine.prompt.text.encoding import open_encoding, tokenizer_data
from mlx_serve.daemon.protocol import ChatPrompt, Generate

USER = {"role": "user", "content": "hi"}
PARAMETERS = {"type": "object", "properties": {"a": {"type": "string", "description": "é"}}}
TOOLS = ({"type": "function", "function": {"name": "f", "description": "Does it.", "parameters": PARAMETERS}},)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_level()


def rendered(tokenizer: PreTrainedTokenizerFast, template: str, *messages: dict[str, Any], **options: Any) -> str:
    data = replace(tokenizer_data(tokenizer), template=template)
    prompts = Prompts(data, ModelData(rows=len(tokenizer), context_length=4096), open_encoding(data))
    return prompts.prepare(Generate(prompt=ChatPrompt(messages=messages, **options), render_only=True)).rendered


def test_ids_of_nine_letters() -> None:
    """Where the template insists: the same id becomes the same, calls without one get one, and results find theirs."""
    messages: list[dict[str, Any]] = [
        {"role": "assistant", "tool_calls": [{"id": "call_1234567890", "function": {}}, {"function": {}}]},
        {"role": "tool", "tool_call_id": "call_1234567890"},
        {"role": "tool"},
    ]
    assert with_ids(copy.deepcopy(messages), "no rule") == messages
    changed = with_ids(copy.deepcopy(messages), "{% if id|length != 9 %}")
    first, second = (call["id"] for call in changed[0]["tool_calls"])
    assert (changed[1]["tool_call_id"], changed[2]["tool_call_id"]) == (first, second)
    assert len(first) == len(second) == 9 and first != second and (first + second).isalnum()
    short: list[dict[str, Any]] = [{"role": "tool", "tool_call_id": "a1B2c3D4e"}]
    assert with_ids(copy.deepcopy(short), "length != 9") == short


def call(name: str, number: str | None = None) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": {}}} | ({"id": number} if number else {})


def result(number: str | None, text: str) -> dict[str, Any]:
    return {"role": "tool", "content": text} | ({"tool_call_id": number} if number else {})


HISTORY = [
    {"role": "assistant", "tool_calls": [call("f", "call_a"), call("g", "call_b")]},
    result("call_b", "of g"),
    result("call_a", "of f"),
    {"role": "assistant", "tool_calls": [call("f")]},
    result(None, "again"),
]


@pytest.mark.parametrize(
    ("counts", "last"),
    [("{{ counter }}", "functions.f:2"), ("{{ 'functions.' + name + loop.index0 }}", "functions.f:0")],
)
def test_kimis_ids(counts: str, last: str) -> None:
    """A name and a number, which counts through the conversation or, in the first template, through a message; results
    in the order of their calls."""
    changed = with_ids(copy.deepcopy(HISTORY), "<|tool_calls_section_begin|>" + counts)
    assert [c["id"] for c in changed[0]["tool_calls"]] == ["functions.f:0", "functions.g:1"]
    assert [(m["tool_call_id"], m["content"]) for m in changed[1:3]] == [
        ("functions.f:0", "of f"),
        ("functions.g:1", "of g"),
    ]
    assert changed[3]["tool_calls"][0]["id"] == changed[4]["tool_call_id"] == last
    assert with_ids([result("x", "lost")], "<|tool_calls_section_begin|>") == [result("x", "lost")]


def test_tools_under_smollm3s_name(tokenizer: PreTrainedTokenizerFast) -> None:
    """Its template reads `xml_tools`; one that reads `tools` too gets what Transformers gives it."""
    template = "|{% if xml_tools %}<tools>{% for t in xml_tools[:] %}{{ t.function.name }}{% endfor %}{% endif %}"
    assert rendered(tokenizer, template, USER, tools=TOOLS) == "|<tools>f"
    assert rendered(tokenizer, template, USER) == "|"
    assert capabilities(template) == ("tools",)
    assert rendered(tokenizer, "{{ xml_tools is defined }}{{ tools | length }}", USER, tools=TOOLS) == "False1"


EACH = "{% for m in messages %}{{ m.role }}:{{ m.content }}|{% endfor %}"
V31 = "{# <｜tool▁calls▁begin｜> #}" + EACH
R1 = "{# <｜tool▁calls▁begin｜> ```json #}" + EACH


def test_tools_in_deepseeks_system_message(tokenizer: PreTrainedTokenizerFast) -> None:
    """As V3.1's model card describes them: behind the system's own words, or alone."""
    system = {"role": "system", "content": "Be brief."}
    found = rendered(tokenizer, V31, system, USER, tools=TOOLS)
    assert found.startswith(
        "system:Be brief.\n\n## Tools\nYou have access to the following tools:\n\n### f\nDescription: Does it.\n\n"
        f"Parameters: {json.dumps(PARAMETERS, ensure_ascii=False)}\n\n"
        "IMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments"
        "<｜tool▁call▁end｜>{additional_tool_calls}<｜tool▁calls▁end｜>\n\nWhere:\n"
    )
    assert found.endswith("without separators or spaces|user:hi|")
    assert rendered(tokenizer, V31, USER, tools=TOOLS).startswith("system:## Tools\n")
    assert rendered(tokenizer, V31, USER) == "user:hi|"
    assert capabilities(V31) == ("tools",) == capabilities(R1)


def test_tools_in_r1s_system_message(tokenizer: PreTrainedTokenizerFast) -> None:
    """In the notation that R1's template has for calls, in front of the system's own words."""
    found = rendered(tokenizer, R1, {"role": "system", "content": "Be brief."}, USER, tools=TOOLS)
    assert found.startswith("system:You can call any of the following function tools to satisfy the user's requests: [")
    assert "<｜tool▁call▁begin｜>function<｜tool▁sep｜>example_function_name\n```json\n" in found
    assert found.endswith("<｜tool▁calls▁end｜>\n\nBe brief.|user:hi|")


def test_a_template_with_a_place_for_tools_gets_no_description() -> None:
    messages = [USER]
    family = find_family(V31).name
    assert with_described_tools(messages, TOOLS, V31 + "{{ tools }}", family) is messages
    assert with_described_tools(messages, TOOLS, EACH, "unknown") is messages
    assert with_described_tools(messages, (), V31, family) is messages


def test_calls_of_a_message_without_a_text(tokenizer: PreTrainedTokenizerFast) -> None:
    """R1's template shows calls only where there is no content at all, and clients send an empty one."""
    template = (
        "|{% for message in messages %}{% if message['role'] == 'assistant' and message['content'] is none %}"
        "{{ message['tool_calls'][0]['function']['name'] }}{% endif %}{% endfor %}"
    )
    for content in ({}, {"content": ""}, {"content": None}):
        assert rendered(tokenizer, template, USER, {"role": "assistant", "tool_calls": [call("f")]} | content) == "|f"
    assert rendered(tokenizer, template, USER, {"role": "assistant", "content": "x", "tool_calls": [call("f")]}) == "|"
