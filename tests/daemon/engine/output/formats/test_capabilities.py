"""What a model is said to do is what the engine does with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.spoken_calls import TEMPLATES

from mlx_serve.daemon.engine.output.formats.family import Thoughts
from mlx_serve.daemon.engine.output.formats.table import THOUGHTS, capabilities, find_family
from mlx_serve.daemon.engine.prompt.insertion.markers import FAMILIES, Markers, ends
from mlx_serve.store.inspect.configs import ModelFiles
from mlx_serve.store.inspect.kinds import capabilities as store_capabilities
from mlx_serve.store.inspect.kinds import template_capabilities

SOURCES = [
    *TEMPLATES.values(),
    *(each.start for each in THOUGHTS),
    *(each.end for each in THOUGHTS),
    *("{% if tools %}", "toolset </think>", "functools[", "{{ enable_thinking }}", "{{ reasoning_effort }}", ""),
]


@pytest.mark.parametrize("source", SOURCES)
def test_the_store_and_the_engine_promise_the_same(source: str) -> None:
    """They are strangers, so each looks for itself."""
    assert set(template_capabilities("llm", source)) == {"completion", *capabilities(source)}


@pytest.mark.parametrize("family", FAMILIES, ids=[family.prefix for family in FAMILIES])
@pytest.mark.parametrize(
    "name", ["tokenizer.json", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"]
)
def test_the_store_finds_every_marker_of_insertion(tmp_path: Path, family: Markers, name: str) -> None:
    """In each file that may list added tokens; one marker less, and neither promises it."""
    for tokens, inserts in ((family.needed, True), (sorted(family.needed)[1:], False)):
        entries = [{"id": number, "content": token} for number, token in enumerate(tokens)]
        contents: Any = {
            "tokenizer.json": {"added_tokens": entries, "model": {"vocab": {}}},
            "tokenizer_config.json": {"added_tokens_decoder": {str(entry["id"]): entry for entry in entries}},
            "special_tokens_map.json": {"additional_special_tokens": [entries[0]["content"], *entries[1:]]},
            "added_tokens.json": {entry["content"]: entry["id"] for entry in entries},
        }[name]
        (tmp_path / name).write_text(json.dumps(contents))
        files = ModelFiles({name: tmp_path / name})
        assert store_capabilities("llm", files) == ("completion",) + ("insert",) * inserts
        assert store_capabilities("embedding", files) == ("embedding",)
        assert bool(ends(tokens)) == inserts


@pytest.mark.parametrize("text", ["", "{", "[]", '{"added_tokens": [1]}', '{"added_tokens": null}', "\x80"])
def test_a_tokenizer_without_a_list_of_tokens(tmp_path: Path, text: str) -> None:
    """The store says nothing of it, for the engine will."""
    (tmp_path / "tokenizer.json").write_text(text, encoding="latin-1")
    assert store_capabilities("llm", ModelFiles({"tokenizer.json": tmp_path / "tokenizer.json"})) == ("completion",)


@pytest.mark.parametrize("thought", THOUGHTS, ids=[each.start for each in THOUGHTS])
def test_thoughts_are_promised_where_they_are_split_off(thought: Thoughts) -> None:
    assert "thinking" in capabilities(thought.start)
    assert thought in find_family(thought.start).thoughts
    assert thought in find_family("words", {thought.start, thought.end}).thoughts


def test_named_templates_together() -> None:
    """Tools go to one of them, thoughts may be in another."""
    named = {"default": "<think>", "tool_use": "{{ tools }} [TOOL_CALLS]"}
    assert capabilities(named) == ("tools", "thinking")
    assert find_family(named).name == "mistral-nemo"
