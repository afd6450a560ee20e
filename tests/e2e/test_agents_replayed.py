"""What Codex and pi really sent, replayed to a model that plays their agent's part: all that they need of an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.client_shapes import needs_shapes, shape
from support.live_daemon import LiveDaemon
from support.responses_wire import check, kinds
from support.spoken_agent import PATCH, TEXTS, create, script, write_agent

from mlx_serve.store.store import Store

pytestmark = needs_shapes
CALLED = {
    "exec": {"type": "function_call", "name": "exec_command", "arguments": '{"cmd": "echo hi | tee made.txt"}'},
    "spawn": {"type": "function_call", "name": "spawn_agent", "namespace": "multi_agent_v1", "arguments": "{}"},
    "patch": {"type": "custom_tool_call", "name": "apply_patch", "input": PATCH},
    "bash": {"type": "function_call", "name": "bash", "arguments": '{"command": "echo hi | tee made.txt"}'},
    "sentence": {"type": "message", "role": "assistant"},
}


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    folder = tmp_path_factory.mktemp("agents")
    write_agent(folder / "agent")
    Store.open(folder / "models").pull(str(folder / "agent"))
    with LiveDaemon(folder / "models", cache_max_llm_models=2) as running:
        running.ready()
        for name in ("exec", "spawn", "patch", "bash"):
            create(running, name, script(name))
        yield running


def replay(daemon: LiveDaemon, name: str, model: str, **more: Any) -> list[dict[str, Any]]:
    """The events of the answer, each of which fits OpenAI's model of it."""
    with daemon.stream("/v1/responses", **shape(name, model) | more) as stream:
        assert stream.status == 200, stream.answer.read()
        found = list(stream)
        assert stream.whole
    check(found)
    return found


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("codex-1", "exec", "exec"),
        ("codex-2", "exec", "sentence"),
        ("codex-3", "patch", "patch"),
        ("codex-4", "patch", "sentence"),
        ("codex-1", "spawn", "spawn"),
        ("codex-5", "spawn", "sentence"),
        ("codex-7", "exec", "sentence"),
        ("pi-4", "bash", "bash"),
        ("pi-5", "bash", "sentence"),
        ("pi-6", "bash", "sentence"),
    ],
)
def test_an_agents_turn(agents: LiveDaemon, name: str, model: str, said: str) -> None:
    """A call by the name, namespace and field that the client looks for, or a sentence once the tool has answered: in
    `output_item.done`, and at the end in `completed`, with an id and usage."""
    found = replay(agents, name, model)
    told = kinds(found)
    assert told[:2] == ["created", "in_progress"] and told[-1] == "completed"
    (item,) = [event["item"] for event in found if event["type"] == "response.output_item.done"]
    expected: dict[str, Any] = CALLED[said]
    assert {key: item.get(key) for key in expected} == expected
    assert ("namespace" in item) == ("namespace" in expected)
    if said == "sentence":
        assert item["content"][0]["text"] == TEXTS["sentence"]
        assert "".join(e["delta"] for e in found if e["type"] == "response.output_text.delta") == TEXTS["sentence"]
    else:
        assert item["call_id"]
    response = found[-1]["response"]
    assert response["id"] and response["output"] == [item]
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    assert usage["input_tokens_details"]["cached_tokens"] >= 0
    assert usage["output_tokens_details"]["reasoning_tokens"] == 0


def test_a_prompt_that_is_too_long(agents: LiveDaemon) -> None:
    """Refused before the stream begins, with the code that Codex knows."""
    create(agents, "reader", script("exec", contents=True))
    body = shape("codex-1", "reader")
    body["input"].append({"role": "user", "content": "x" * 70_000})
    refused = agents.post("/v1/responses", **body)
    assert refused.status == 400 and refused.error["code"] == "context_length_exceeded"


def test_a_picture_where_none_can_be_seen(agents: LiveDaemon) -> None:
    refused = agents.post("/v1/responses", **shape("codex-6", "exec"))
    assert refused.status == 400 and "does not support vision" in refused.error["message"]


def test_a_kept_turn_is_what_was_sent(agents: LiveDaemon) -> None:
    """Asked to store, the first turn's items are there to be gone on with."""
    first = replay(agents, "codex-1", "exec", store=True)[-1]["response"]
    result = {"type": "function_call_output", "call_id": first["output"][0]["call_id"], "output": "hi"}
    second = replay(agents, "codex-1", "exec", input=[result], previous_response_id=first["id"])[-1]["response"]
    assert second["output"][0]["content"][0]["text"] == TEXTS["sentence"]
    assert json.loads(agents.get(f"/v1/responses/{first['id']}").body) == first
