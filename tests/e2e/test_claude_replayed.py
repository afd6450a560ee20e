"""What Claude Code and pi really sent to /v1/messages, replayed to a model that plays their agent's part: all that they
need of an answer, and prompts that are what was counted."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.anthropic_models import AFTER, BEFORE, COMMAND, HELLO, write_agent_model
from support.client_shapes import FOLDER, needs_shapes, shape
from support.live_daemon import LiveDaemon
from support.message_stream import folded

from mlx_serve.store.store import Store

pytestmark = needs_shapes
MODEL = "agent"
PATH, COUNT = "/v1/messages?beta=true", "/v1/messages/count_tokens?beta=true"
OF_A_PROMPT = (
    *("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "context_management"),
    "safeguards",
)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    folder = tmp_path_factory.mktemp("claude")
    assert FOLDER is not None
    prompts = [path.read_text() for path in (*FOLDER.glob("claude-*.json"), *FOLDER.glob("pi-*.json"))]
    store = Store.open(folder / "models")
    store.pull(str(write_agent_model(folder / MODEL, prompts)))
    with LiveDaemon(folder / "models") as running:
        yield running.ready()


def replay(daemon: LiveDaemon, body: dict[str, Any]) -> dict[str, Any]:
    """The message that the stream amounts to; its prompt has been counted before."""
    counted = daemon.post(COUNT, **{name: value for name, value in body.items() if name in OF_A_PROMPT})
    assert counted.status == 200, counted.body
    with daemon.stream(PATH, **body) as stream:
        assert stream.status == 200, stream.answer.read()
        message = folded([(record["type"], record) for record in stream])
        assert stream.whole
    usage = message["usage"]
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] == counted.json["input_tokens"] > 0
    return message


def texts(message: dict[str, Any]) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text").strip()


def prompt_tokens(daemon: LiveDaemon, body: dict[str, Any]) -> int:
    counted = daemon.post(COUNT, **{name: value for name, value in body.items() if name in OF_A_PROMPT})
    return int(counted.json["input_tokens"])


@pytest.mark.parametrize("name", ["claude-1", "claude-3", "claude-9", "claude-10", "pi-7"])
def test_the_first_turn_of_an_agent(daemon: LiveDaemon, name: str) -> None:
    """A call of its tool, by the name that it has, in a block that is begun and ended."""
    message = replay(daemon, shape(name, MODEL))
    assert texts(message) == BEFORE and message["stop_reason"] == "tool_use"
    call = message["content"][-1]
    named = "bash" if name.startswith("pi") else "Bash"
    assert (call["type"], call["name"], call["input"]["command"]) == ("tool_use", named, COMMAND)


@pytest.mark.parametrize("name", ["claude-2", "claude-4", "claude-8", "pi-8", "pi-9"])
def test_the_turn_with_the_tools_result(daemon: LiveDaemon, name: str) -> None:
    message = replay(daemon, shape(name, MODEL))
    assert texts(message) == AFTER and message["stop_reason"] == "end_turn"


def test_a_search_of_the_web(daemon: LiveDaemon) -> None:
    """A tool that Anthropic would run is left out, and text satisfies the agent."""
    assert texts(replay(daemon, shape("claude-7", MODEL))) == HELLO


def test_a_count(daemon: LiveDaemon) -> None:
    assert daemon.post(COUNT, **shape("claude-5", MODEL)).json["input_tokens"] > 0


def test_a_picture_where_none_can_be_seen(daemon: LiveDaemon) -> None:
    for path in (PATH, COUNT):
        refused = daemon.post(path, **shape("claude-6", MODEL))
        assert refused.status == 400 and "does not support vision" in refused.error["message"]


def test_what_differs_between_conversations_is_not_in_the_prompt(daemon: LiveDaemon) -> None:
    """The header that Claude Code puts in front: with another value, and without it, the prompt is the same, and all
    of it that was read is not read again."""
    first = shape("claude-1", MODEL)
    other, without = copy.deepcopy(first), copy.deepcopy(first)
    assert first["system"][0]["text"].startswith("x-anthropic-billing-header:")
    other["system"][0]["text"] = "x-anthropic-billing-header: cc_version=9.9.999.abcdef; cc_entrypoint=other;"
    del without["system"][0]
    counts = {prompt_tokens(daemon, body) for body in (first, other, without)}
    assert len(counts) == 1
    replay(daemon, first)
    again = replay(daemon, other)
    assert again["usage"]["cache_read_input_tokens"] > 0.9 * counts.pop()


def test_a_system_message_is_the_same_as_text_and_as_a_list(daemon: LiveDaemon) -> None:
    first = shape("claude-1", MODEL)
    text = copy.deepcopy(first)
    (block,) = text["messages"][1]["content"]
    text["messages"][1]["content"] = block["text"]
    assert prompt_tokens(daemon, first) == prompt_tokens(daemon, text)
    second = shape("claude-2", MODEL)
    assert isinstance(second["messages"][1]["content"], str)
    replay(daemon, first)
    usage = replay(daemon, second)["usage"]
    assert usage["cache_read_input_tokens"] > 0.9 * prompt_tokens(daemon, first), json.dumps(usage)


def test_tools_that_wait_are_not_in_the_prompt(daemon: LiveDaemon) -> None:
    body = shape("claude-4", MODEL)
    waiting = [tool["name"] for tool in body["tools"] if tool.get("defer_loading")]
    assert len(waiting) == 3
    found = prompt_tokens(daemon, body)
    body["messages"][-1]["content"][0]["content"] = "nothing found"
    assert prompt_tokens(daemon, body) < found
    body["tools"] = [tool for tool in body["tools"] if tool["name"] not in waiting]
    without = prompt_tokens(daemon, body)
    body = shape("claude-4", MODEL)
    body["messages"][-1]["content"][0]["content"] = "nothing found"
    assert prompt_tokens(daemon, body) == without


def test_a_conversation_that_is_too_long(daemon: LiveDaemon) -> None:
    """In the words out of which Claude Code reads both numbers."""
    body = shape("claude-2", MODEL)
    body["messages"][-1]["content"][0]["content"] = "ab" * 65_536
    refused = daemon.post(PATH, **body)
    assert refused.status == 400 and refused.error["type"] == "invalid_request_error"
    words = refused.error["message"].split()
    assert words[:4] == ["prompt", "is", "too", "long:"] and words[5:] == ["tokens", ">", "65536", "maximum"]
    assert int(words[4]) == prompt_tokens(daemon, body) > 65_536
