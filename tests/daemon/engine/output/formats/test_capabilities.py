"""What a model is said to do is what the engine does with it."""

from __future__ import annotations

import pytest
from support.spoken_calls import TEMPLATES

from mlx_serve.daemon.engine.output.formats.family import Thoughts
from mlx_serve.daemon.engine.output.formats.table import THOUGHTS, capabilities, find_family
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
