"""What opencode, Qwen Code, Continue, pi, aider and the AI SDK really sent to OpenAI's chat, replayed to a model that
plays its part: all that they need of an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.client_shapes import needs_shapes, shape
from support.live_daemon import LiveDaemon
from support.spoken_agent import TEXTS, create, script, write_agent

from mlx_serve.store.store import Store

pytestmark = needs_shapes
COMMAND = "echo hi | tee made.txt"
CALLING = {"bash": "bash", "run_shell_command": "runs", "Bash": "capital-bash", "shell": "shell"}
"""By tools: the models that call them first. Their names have no case."""


@pytest.fixture(scope="module")
def playing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    folder = tmp_path_factory.mktemp("playing")
    write_agent(folder / "agent")
    Store.open(folder / "models").pull(str(folder / "agent"))
    with LiveDaemon(folder / "models", cache_max_llm_models=2) as running:
        running.ready()
        for tool, name in CALLING.items():
            create(running, name, script(tool))
        create(running, "sentence", script("sentence"))
        create(running, "thought", script("thought"))
        create(running, "reader", script("sentence", contents=True))
        yield running


def chunks(daemon: LiveDaemon, body: dict[str, Any]) -> list[dict[str, Any]]:
    """All of a stream that ends as each client wants it: one reason at the end of the choice, usage behind it where it
    was asked for, and `[DONE]`."""
    with daemon.stream("/v1/chat/completions", **body) as stream:
        assert stream.status == 200, stream.answer.read()
        *found, done = list(stream)
        assert done == "[DONE]" and stream.whole
    if (body.get("stream_options") or {}).get("include_usage"):
        *found, last = found
        assert last["choices"] == [] and last["usage"]["total_tokens"] > 0
    assert all(not chunk.get("usage") for chunk in found)
    assert len({chunk["id"] for chunk in found}) == 1 and found[0]["choices"][0]["delta"]["role"] == "assistant"
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in found]
    assert reasons[-1] in ("stop", "tool_calls") and not any(reasons[:-1])
    return found


def joined(found: list[dict[str, Any]], field: str) -> str:
    return "".join(chunk["choices"][0]["delta"].get(field) or "" for chunk in found)


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("opencode-2", "bash"),
        ("qwen-code-1", "run_shell_command"),
        ("continue-1", "Bash"),
        ("ai-sdk-1", "shell"),
        ("pi-1", "bash"),
    ],
)
def test_the_first_turn_of_an_agent(playing: LiveDaemon, name: str, tool: str) -> None:
    """A call by the tool's own name: id and name in its first piece, arguments in pieces that are JSON together."""
    found = chunks(playing, shape(name, CALLING[tool]))
    pieces = [piece for chunk in found for piece in chunk["choices"][0]["delta"].get("tool_calls") or []]
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls" and joined(found, "content") == ""
    first, *rest = pieces
    assert (first["index"], first["type"], first["function"]["name"]) == (0, "function", tool) and first["id"]
    assert all(piece["index"] == 0 and "id" not in piece for piece in rest)
    arguments = json.loads("".join(piece["function"]["arguments"] for piece in pieces))
    assert arguments["command"] == COMMAND


@pytest.mark.parametrize(
    "name",
    [
        *("opencode-1", "opencode-3", "opencode-4", "qwen-code-2", "qwen-code-3", "continue-2", "ai-sdk-2"),
        *("aider-1", "pi-2", "pi-3"),
    ],
)
def test_what_follows_is_a_sentence(playing: LiveDaemon, name: str) -> None:
    """Behind a result as text or as a list, after a thought that comes back under either name, for a title, and for
    who has no tools."""
    model = "bash" if name not in ("opencode-1", "aider-1") else "sentence"
    found = chunks(playing, shape(name, model))
    assert joined(found, "content") == TEXTS["sentence"] and found[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("name", ["opencode-2", "qwen-code-1", "pi-1"])
def test_thoughts_have_both_names(playing: LiveDaemon, name: str) -> None:
    """Each of these reads `reasoning_content` or `reasoning`, and gives back what it has read."""
    found = chunks(playing, shape(name, "thought"))
    assert joined(found, "reasoning_content").strip() == joined(found, "reasoning").strip() == "Let me see."
    assert joined(found, "content").strip() == "The answer is 42."


@pytest.mark.parametrize("name", ["opencode-2", "qwen-code-1", "continue-1", "aider-1", "pi-1"])
def test_a_prompt_that_is_too_long(playing: LiveDaemon, name: str) -> None:
    """A 400 with the code, and the sentence that they know and print; its numbers are read."""
    body = shape(name, "reader")
    body["messages"].append({"role": "user", "content": "x" * 70_000})
    refused = playing.post("/v1/chat/completions", **body)
    assert refused.status == 400 and refused.error["code"] == "context_length_exceeded"
    told = re.search(r"maximum context length is (\d+) tokens.*resulted in (\d+) tokens", refused.error["message"])
    assert told is not None and int(told[2]) > int(told[1]) == 65536
