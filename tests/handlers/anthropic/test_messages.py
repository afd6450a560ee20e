"""/v1/messages over a real connection: what the engine is asked, and what the client is told, whole and streamed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import msgspec
import pytest
from fakes.engine import finished, says
from fakes.serving import MODEL, Serving
from support.message_stream import folded

from mlx_serve.daemon.errors import InsufficientMemory, RequestRejected, RunnerDied
from mlx_serve.daemon.protocol import Calling, ChatPrompt, Delta, Generate, Started, ToolCall
from mlx_serve.handlers import stream

PATH = "/v1/messages"
HI: Any = [{"role": "user", "content": "hi"}]
TOOL: Any = {"name": "get_time", "description": "the time", "input_schema": {"type": "object", "properties": {}}}
CALL = (
    Delta(id=1, reasoning="Hm", tokens=1),
    Delta(id=1, reasoning="m.", tokens=2),
    Delta(id=1, text="\n\n", tokens=3),
    Delta(id=1, text="Let me see.", tokens=4),
    Delta(id=1, text="\n", tokens=5),
    Delta(id=1, tool_calls=(ToolCall(name="get_time", arguments=""),), tokens=6),
    Delta(id=1, tool_calls=(ToolCall(name="", arguments='{"zone":'),), tokens=7),
    Delta(id=1, tool_calls=(ToolCall(name="", arguments="12345678901234567890123}"),), tokens=8),
    Delta(id=1, tool_calls=(ToolCall(name="get_date", arguments="", index=1),), tokens=9),
    Delta(id=1, text="\n", tokens=9),
    finished("tool_calls", 9, cached_tokens=3, reasoning_tokens=2),
)


def body(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 100, "messages": HI} | more


def events(text: str) -> list[tuple[str, Any]]:
    """Every event of a stream: its name, and its document, which says the same."""
    found = []
    for record in text.split("\n\n")[:-1]:
        first, second = record.split("\n")
        document = json.loads(second.removeprefix("data: "))
        found.append((first.removeprefix("event: "), document))
        assert found[-1][0] == document["type"]
    return found


async def both(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    """The answer, which is the same streamed and whole but for ids."""
    whole = (await client.post(PATH, json=body(**more))).json()
    response = await client.post(PATH + "?beta=true", json=body(stream=True, **more))
    assert response.headers["content-type"].startswith("text/event-stream")
    streamed = folded(events(response.text))
    for each in (whole, streamed):
        assert each.pop("id").startswith("msg_")
        for block in each["content"]:
            assert block["type"] != "tool_use" or block.pop("id").startswith("toolu_")
    assert whole == streamed
    result: dict[str, Any] = whole
    return result


def prompt(serving: Serving) -> ChatPrompt:
    work = serving.engine.requests[-1]
    assert isinstance(work, Generate) and isinstance(work.prompt, ChatPrompt)
    return work.prompt


async def test_text(serving: Serving, client: httpx.AsyncClient) -> None:
    answer = await both(client)
    assert answer == {
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": "Hello world"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 7,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 4,
            "output_tokens_details": {"thinking_tokens": 0},
        },
    }
    assert prompt(serving) == ChatPrompt(messages=tuple(HI), thinking=False)


async def test_thoughts_text_and_calls(serving: Serving, client: httpx.AsyncClient) -> None:
    """Blocks in their order, no white space between them, numbers of any size; cached tokens are counted apart."""
    serving.engine.script = says(*CALL)
    answer = await both(client, tools=[TOOL])
    thought = answer["content"].pop(0)
    assert thought["type"] == "thinking" and thought["thinking"] == "Hmm." and thought["signature"]
    assert answer["content"] == [
        {"type": "text", "text": "Let me see.\n"},
        {"type": "tool_use", "name": "get_time", "input": {"zone": 12345678901234567890123}},
        {"type": "tool_use", "name": "get_date", "input": {}},
    ]
    assert answer["stop_reason"] == "tool_use"
    usage = answer["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (4, 3, 9)


async def test_a_stream_says_first_what_is_known(
    serving: Serving, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`message_start` waits until the prompt leaves the queue; the head of the answer, and pings, do not."""
    monkeypatch.setattr(stream, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(stream, "PING_SECONDS", 0.05)
    serving.engine.script = says(Started(id=1, cached=3), *CALL)
    serving.engine.hold, serving.engine.hold_at = asyncio.Event(), 1
    asyncio.get_running_loop().call_later(0.3, serving.engine.hold.set)
    found = events((await client.post(PATH, json=body(stream=True, tools=[TOOL]))).text)
    (start,) = (document for name, document in found if name == "message_start")
    usage = start["message"]["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (4, 3, 0)
    assert found[0][0] == "ping"


async def test_one_call(serving: Serving, client: httpx.AsyncClient) -> None:
    serving.engine.script = says(*CALL)
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    answer = await both(client, tools=[TOOL], tool_choice=choice)
    assert [block["type"] for block in answer["content"]] == ["thinking", "text", "tool_use"]
    work = serving.engine.requests[-1]
    assert isinstance(work, Generate) and work.calling == Calling(parallel=False)


async def test_an_omitted_thought_comes_back(serving: Serving, client: httpx.AsyncClient) -> None:
    """Its text is not in the answer, but its signature brings it to the template in the next turn."""
    serving.engine.script = says(*CALL)
    answer = await both(client, tools=[TOOL], thinking={"type": "adaptive", "display": "omitted"})
    thought = answer["content"][0]
    assert thought["thinking"] == "" and "Hmm." not in json.dumps(answer)
    assert prompt(serving).thinking is True
    turn = [*HI, {"role": "assistant", "content": [thought, {"type": "text", "text": "x"}]}, *HI]
    await client.post(PATH, json=body(messages=turn))
    assert prompt(serving).messages[1] == {"role": "assistant", "content": "x", "thinking": "Hmm."}


@pytest.mark.parametrize(
    ("end", "reason", "sequence"),
    [
        (finished("length"), "max_tokens", None),
        (finished("stop", stop_sequence="END"), "stop_sequence", "END"),
        (finished("stop"), "end_turn", None),
    ],
)
async def test_ends(serving: Serving, client: httpx.AsyncClient, end: Any, reason: str, sequence: str | None) -> None:
    serving.engine.script = says(Delta(id=1, text="x"), end)
    answer = await both(client, stop_sequences=["END"])
    assert (answer["stop_reason"], answer["stop_sequence"]) == (reason, sequence)
    work = serving.engine.requests[-1]
    assert isinstance(work, Generate) and work.stop == ("END",)


@pytest.mark.parametrize("text", ["", " \n"])
async def test_nothing_said(serving: Serving, client: httpx.AsyncClient, text: str) -> None:
    """Clients read the text of the first block, so there is one."""
    serving.engine.script = says(Delta(id=1, text=text), finished())
    assert (await both(client))["content"] == [{"type": "text", "text": text}]


async def test_sampling(serving: Serving, client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json=body(temperature=1, top_p=0.5, top_k=3))
    assert answer.status_code == 200 and answer.headers["request-id"] == answer.headers["x-request-id"]
    work = serving.engine.requests[-1]
    assert isinstance(work, Generate) and work.max_tokens == 100
    assert (work.sampling.temperature, work.sampling.top_p, work.sampling.top_k) == (1, 0.5, 3)


async def test_more_tokens_than_the_context_has(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json=body(max_tokens=2**31 - 1))
    assert answer.status_code == 200 and "max_tokens" in answer.headers["x-mlx-serve-notice"]


async def test_structured_output(serving: Serving, client: httpx.AsyncClient) -> None:
    """By its name and by its former one."""
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    for more in ({"output_config": {"format": wanted}}, {"output_format": wanted}):
        assert (await client.post(PATH, json=body(**more))).status_code == 200
        work = serving.engine.requests[-1]
        assert isinstance(work, Generate) and work.grammar is not None
        assert (work.grammar.type, json.loads(work.grammar.source)) == ("json_schema", {"type": "object"})


async def test_thinking(serving: Serving, client: httpx.AsyncClient) -> None:
    """Off unless it is asked for; ignored by a model that cannot."""
    asked: list[tuple[dict[str, Any], Any, Any]] = [
        ({}, False, None),
        ({"output_config": {"effort": "high"}}, False, None),
        ({"thinking": {"type": "disabled"}}, False, None),
        ({"thinking": {"type": "adaptive"}}, True, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}, "high", None),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}, "output_config": {"effort": "low"}}, "low", 2000),
    ]
    for more, thinking, budget in asked:
        assert (await client.post(PATH, json=body(**more))).status_code == 200
        assert (prompt(serving).thinking, prompt(serving).thinking_budget) == (thinking, budget)
    serving.store.add(MODEL, capabilities=("completion", "tools"))
    for more, _, _ in asked:
        assert (await client.post(PATH, json=body(**more))).status_code == 200
        assert (prompt(serving).thinking, prompt(serving).thinking_budget) == (None, None)


async def test_tools_that_the_model_does_not_take(serving: Serving, client: httpx.AsyncClient) -> None:
    """Are refused before it is loaded; hosted ones and those that wait are not for it."""
    serving.store.add(MODEL, capabilities=("completion",))
    answer = await client.post(PATH, json=body(tools=[TOOL]))
    assert answer.status_code == 400 and answer.json()["error"]["message"] == "this model does not support tools"
    assert serving.residency.loaded == []
    hosted = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}, TOOL | {"defer_loading": True}]
    assert (await client.post(PATH, json=body(tools=hosted, tool_choice={"type": "auto"}))).status_code == 200
    assert prompt(serving).tools == ()


async def test_a_prompt_that_is_too_long(serving: Serving, client: httpx.AsyncClient) -> None:
    """In the very words out of which clients read both numbers."""
    serving.engine.script = lambda _: [RequestRejected("context_length_exceeded", "9 > 5", "messages", (70, 64))]
    for more in ({}, {"stream": True}):
        answer = await client.post(PATH, json=body(**more))
        assert answer.status_code == 400
        assert answer.json()["error"] == {
            "type": "invalid_request_error",
            "message": "prompt is too long: 70 tokens > 64 maximum",
        }


async def test_a_schema_that_cannot_be_kept_is_named(serving: Serving, client: httpx.AsyncClient) -> None:
    """By its place in the client's request, where a hosted tool may stand before it."""
    param = "tools[0].function.parameters"
    serving.engine.script = lambda _: [RequestRejected("invalid_request", f"invalid value for '{param}': no", param)]
    hosted = {"type": "web_search_20250305", "name": "web_search"}
    answer = await client.post(PATH, json=body(tools=[hosted, TOOL]))
    assert answer.json()["error"]["message"] == "invalid value for 'tools[1].input_schema': no"


async def test_an_error_in_the_middle(serving: Serving, client: httpx.AsyncClient) -> None:
    serving.engine.script = says(Delta(id=1, text="x"), RunnerDied("m", "signal 9"))
    response = await client.post(PATH, json=body(stream=True))
    name, document = events(response.text)[-1]
    assert name == "error" and document["error"]["type"] == "api_error"
    assert document["request_id"] == response.headers["request-id"]


async def test_an_error_while_it_waits(
    serving: Serving, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the head is out a failed load is an event."""
    monkeypatch.setattr(stream, "HEAD_SECONDS", 0.01)
    serving.residency.hold_load = asyncio.Event()
    serving.residency.late_failure = InsufficientMemory("needs 5 GB, has 2 GB")
    asyncio.get_running_loop().call_later(0.2, serving.residency.hold_load.set)
    response = await client.post(PATH, json=body(stream=True))
    ((name, document),) = events(response.text)
    assert response.status_code == 200 and name == "error" and document["error"]["type"] == "overloaded_error"
    assert document["request_id"] == response.headers["request-id"]


async def test_pings(serving: Serving, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the model loads, and while it thinks what is not shown."""
    monkeypatch.setattr(stream, "HEAD_SECONDS", 0.01)
    monkeypatch.setattr(stream, "PING_SECONDS", 0.01)
    serving.residency.hold_load = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, serving.residency.hold_load.set)
    given = events((await client.post(PATH, json=body(stream=True))).text)
    assert [name for name, _ in given[:2]] == ["ping", "ping"]
    first = next(place for place, (name, _) in enumerate(given) if name != "ping")
    assert folded(given[first:])["content"] == [{"type": "text", "text": "Hello world"}]


async def test_pings_while_a_thought_is_not_shown(
    serving: Serving, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "PING_SECONDS", 0.01)
    serving.engine.pause = 0.1
    serving.engine.script = says(*CALL[:2], finished())
    thinking = {"type": "adaptive", "display": "omitted"}
    names = [name for name, _ in events((await client.post(PATH, json=body(stream=True, thinking=thinking))).text)]
    begun, ended = names.index("content_block_start"), names.index("content_block_stop")
    assert set(names[begun + 1 : ended]) == {"ping", "content_block_delta"}
    assert names[begun:ended].count("content_block_delta") == 1, "the signature alone"


async def test_a_model_that_can_do_less_than_its_listing_says(serving: Serving, client: httpx.AsyncClient) -> None:
    """It refuses tools all the same."""
    serving.residency.info = msgspec.structs.replace(serving.residency.info, capabilities=("completion",))
    assert (await client.post(PATH, json=body(tools=[TOOL]))).status_code == 400
