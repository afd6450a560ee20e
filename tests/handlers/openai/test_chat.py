"""/v1/chat/completions over a real connection: what the engine is asked, and what the client is told."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fakes.engine import TOKENS, finished, says
from fakes.serving import MODEL, Serving

from mlx_serve.daemon.protocol import ChatPrompt, Delta, TokenLogprob, ToolCall

PATH = "/v1/chat/completions"


def body(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]} | more


def events(text: str) -> list[Any]:
    """The documents of an SSE stream; [DONE] must be the last and is left out."""
    records = [record for record in text.split("\n\n") if record]
    assert records[-1] == "data: [DONE]"
    return [json.loads(record.removeprefix("data: ")) for record in records[:-1] if not record.startswith(":")]


async def test_answer_is_whole(client: httpx.AsyncClient) -> None:
    """Without streaming the answer is one document with usage, and its content is what the engine said."""
    answer = (await client.post(PATH, json=body())).json()
    assert answer["object"] == "chat.completion" and answer["model"] == MODEL
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello world", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert {k: answer["usage"][k] for k in ("prompt_tokens", "completion_tokens", "total_tokens")} == {
        "prompt_tokens": 7,
        "completion_tokens": 4,
        "total_tokens": 11,
    }


async def test_stream_shape(client: httpx.AsyncClient) -> None:
    """The first delta has the role, the last a finish; id and created never change; no usage unasked."""
    response = await client.post(PATH, json=body(stream=True))
    assert response.headers["content-type"].startswith("text/event-stream")
    chunks = events(response.text)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant" and chunks[0]["choices"][0]["delta"]["content"] == ""
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "".join(TOKENS)
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert all("role" not in c["choices"][0]["delta"] for c in chunks[1:])
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) == 1
    assert all("usage" not in c for c in chunks)


async def test_stream_usage(client: httpx.AsyncClient) -> None:
    """With include_usage every chunk has a null usage but the last, which has no choices."""
    chunks = events((await client.post(PATH, json=body(stream=True, stream_options={"include_usage": True}))).text)
    assert all(c["usage"] is None for c in chunks[:-1])
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == 11


async def test_choices_fan_out(serving: Serving, client: httpx.AsyncClient) -> None:
    """One piece of work with n choices; the prompt is counted once."""
    answer = (await client.post(PATH, json=body(n=3, seed=2**64 - 1))).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    (work,) = serving.engine.requests
    assert (work.choices, work.sampling.seed) == (3, 2**64 - 1)
    assert answer["usage"]["prompt_tokens"] == 7 and answer["usage"]["completion_tokens"] == 12


async def test_choices_stream_separately(client: httpx.AsyncClient) -> None:
    """Every choice of a stream has a role, its whole text and its own finish."""
    chunks = events((await client.post(PATH, json=body(n=2, stream=True))).text)
    for index in (0, 1):
        mine = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant" and mine[-1]["finish_reason"] == "stop"
        assert "".join(c["delta"].get("content", "") for c in mine) == "Hello world"


async def test_request_reaches_the_engine(serving: Serving, client: httpx.AsyncClient) -> None:
    """Every parameter that the engine knows arrives; what the client leaves out stays None above OpenAI's defaults."""
    wanted = body(
        messages=[
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": None, "tool_calls": [call("c1", '{"x":1}')], "reasoning_content": "hm"},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        ],
        temperature=0.5,
        top_k=-1,
        min_p=0.1,
        repetition_penalty=1.1,
        frequency_penalty=-0.5,
        logit_bias={"5": -100},
        seed=-1,
        stop="END",
        max_tokens=9,
        max_completion_tokens=8,
        logprobs=True,
        top_logprobs=3,
        reasoning_effort="minimal",
        chat_template_kwargs={"style": "x"},
        keep_alive="5m",
        user="u",
        metadata={"a": "b"},
        store=True,
        nobody_knows_this=1,
    )
    assert (await client.post(PATH, json=wanted)).status_code == 200
    [request] = serving.engine.requests
    assert isinstance(request.prompt, ChatPrompt)
    assert [m["role"] for m in request.prompt.messages] == ["system", "user", "assistant", "tool"]
    assert request.prompt.messages[1]["content"] == "ab"
    assert request.prompt.messages[2]["tool_calls"][0]["function"] == {"name": "look", "arguments": {"x": 1}}
    assert request.prompt.messages[2]["thinking"] == "hm"
    assert request.prompt.messages[3]["tool_name"] == "look"
    assert request.prompt.thinking == "low" and request.prompt.template_options == {"style": "x"}
    drawn = request.sampling
    assert (drawn.temperature, drawn.top_k, drawn.top_p, drawn.min_p) == (0.5, 0, None, 0.1)
    assert drawn.logit_bias == {5: -100.0} and drawn.seed == 2**64 - 1
    assert (request.fallback.temperature, request.fallback.top_p) == (1.0, 1.0)
    assert (request.stop, request.max_tokens, request.logprobs) == (("END",), 8, 3)
    assert serving.residency.keep_alive == [300.0]


def call(identity: str, arguments: str) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": "look", "arguments": arguments}}


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


async def test_tool_calls(serving: Serving, client: httpx.AsyncClient) -> None:
    """Calls come whole, arguments as JSON text, content null; parallel_tool_calls false keeps the first."""
    calls = (ToolCall(name="look", arguments='{"a":1}'), ToolCall(name="look", arguments="{}", index=1))
    serving.engine.script = says(Delta(id=1, tool_calls=calls), finished("tool_calls"))
    answer = (await client.post(PATH, json=body(tools=[TOOL]))).json()["choices"][0]
    assert answer["finish_reason"] == "tool_calls" and answer["message"]["content"] is None
    assert [c["function"]["arguments"] for c in answer["message"]["tool_calls"]] == ['{"a":1}', "{}"]
    assert serving.engine.requests[0].parse_tools and serving.engine.requests[0].prompt.tools == (TOOL,)  # type: ignore[union-attr]
    one = (await client.post(PATH, json=body(tools=[TOOL], parallel_tool_calls=False))).json()["choices"][0]
    assert len(one["message"]["tool_calls"]) == 1
    chunks = events((await client.post(PATH, json=body(tools=[TOOL], stream=True))).text)
    streamed = [c for chunk in chunks for c in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert [c["index"] for c in streamed] == [0, 1] and len({c["id"] for c in streamed}) == 2
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_call_streams_argument_by_argument(serving: Serving, client: httpx.AsyncClient) -> None:
    """Id, type and name come first and once; every part has the call's index, and together they are the arguments."""
    parts = [
        ToolCall(name="look", arguments='{"a": 1'),
        ToolCall(name="", arguments=', "b": 2'),
        ToolCall(name="", arguments="}"),
        ToolCall(name="wait", arguments="{", index=1),
        ToolCall(name="", arguments="}", index=1),
    ]
    serving.engine.script = says(*(Delta(id=1, tool_calls=(part,)) for part in parts), finished("tool_calls"))
    chunks = events((await client.post(PATH, json=body(tools=[TOOL], stream=True))).text)
    assert serving.engine.requests[0].stream_calls
    streamed = [c for chunk in chunks for c in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert [c["index"] for c in streamed] == [0, 0, 0, 1, 1]
    assert [c["function"].get("name") for c in streamed] == ["look", None, None, "wait", None]
    assert ["id" in c and "type" in c for c in streamed] == [True, False, False, True, False]
    assert streamed[0]["id"] != streamed[3]["id"]
    first = "".join(c["function"]["arguments"] for c in streamed if c["index"] == 0)
    assert json.loads(first) == {"a": 1, "b": 2}
    chunks = events((await client.post(PATH, json=body(tools=[TOOL], stream=True, parallel_tool_calls=False))).text)
    assert {c["index"] for chunk in chunks for c in chunk["choices"][0]["delta"].get("tool_calls", [])} == {0}
    whole = (await client.post(PATH, json=body(tools=[TOOL]))).json()["choices"][0]["message"]["tool_calls"]
    assert not serving.engine.requests[-1].stream_calls
    assert [c["function"]["arguments"] for c in whole] == ['{"a": 1, "b": 2}', "{}"]


async def test_tool_choice_none_hides_the_tools(serving: Serving, client: httpx.AsyncClient) -> None:
    await client.post(PATH, json=body(tools=[TOOL], tool_choice="none"))
    request = serving.engine.requests[0]
    assert request.prompt.tools == () and not request.parse_tools  # type: ignore[union-attr]


async def test_reasoning_has_both_names(serving: Serving, client: httpx.AsyncClient) -> None:
    """Reasoning goes out as `reasoning` and `reasoning_content`, streamed before the text."""
    serving.engine.script = says(
        Delta(id=1, reasoning="so"), Delta(id=1, reasoning=" be"), Delta(id=1, text="it"), finished()
    )
    message = (await client.post(PATH, json=body())).json()["choices"][0]["message"]
    assert message["reasoning"] == message["reasoning_content"] == "so be" and message["content"] == "it"
    deltas = [c["choices"][0]["delta"] for c in events((await client.post(PATH, json=body(stream=True))).text)]
    assert "".join(d.get("reasoning", "") for d in deltas) == "so be"
    assert "".join(d.get("reasoning_content", "") for d in deltas) == "so be"


async def test_logprobs(serving: Serving, client: httpx.AsyncClient) -> None:
    """Each token with its bytes and the likeliest others; minus infinity becomes a number that JSON has."""
    best = TokenLogprob(token="a", logprob=-0.1, bytes=(97,))
    token = TokenLogprob(
        token="a", logprob=-0.1, bytes=(97,), top=(best, TokenLogprob(token="b", logprob=-float("inf")))
    )
    serving.engine.script = says(Delta(id=1, text="a", logprobs=(token,)), finished())
    content = (await client.post(PATH, json=body(logprobs=True, top_logprobs=2))).json()["choices"][0]["logprobs"][
        "content"
    ]
    assert content[0]["bytes"] == [97] and content[0]["top_logprobs"][1] == {
        "token": "b",
        "logprob": -9999.0,
        "bytes": [98],
    }
    chunks = events((await client.post(PATH, json=body(logprobs=True, stream=True))).text)
    assert chunks[1]["choices"][0]["logprobs"]["content"][0]["token"] == "a"
    assert chunks[1]["choices"][0]["delta"]["content"] == "a"


async def test_structured_output(serving: Serving, client: httpx.AsyncClient) -> None:
    """json_object and json_schema reach the engine as grammars, the schema as the client wrote it."""
    await client.post(PATH, json=body(response_format={"type": "json_object"}))
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "required": ["b", "a"]}}}
    await client.post(PATH, json=body(response_format=schema))
    first, second = (request.grammar for request in serving.engine.requests)
    assert first is not None and first.type == "json"
    assert second is not None and json.loads(second.source) == {"type": "object", "required": ["b", "a"]}


@pytest.mark.parametrize("stream", [False, True])
async def test_length_is_told(serving: Serving, client: httpx.AsyncClient, stream: bool) -> None:
    serving.engine.script = says(Delta(id=1, text="a"), finished("length"))
    response = await client.post(PATH, json=body(stream=stream))
    last = events(response.text)[-1] if stream else response.json()
    assert last["choices"][0]["finish_reason"] == "length"


async def test_prefix_of_the_answer(serving: Serving, client: httpx.AsyncClient) -> None:
    """continue_final_message lets the model go on with the assistant's last message."""
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Well"}]
    await client.post(PATH, json=body(messages=messages, continue_final_message=True))
    assert serving.engine.requests[0].prompt.continue_last  # type: ignore[union-attr]


async def test_a_budget_of_thought(serving: Serving, client: httpx.AsyncClient) -> None:
    """Under both names; refused by name for a model that cannot think, and below zero."""
    for more in ({"thinking_budget": 100}, {"reasoning": {"max_tokens": 100}}):
        await client.post(PATH, json=body(**more))
        assert serving.engine.requests[-1].prompt.thinking_budget == 100  # type: ignore[union-attr]
    refused = await client.post(PATH, json=body(thinking_budget=-1))
    assert refused.status_code == 400 and "thinking_budget" in refused.text


async def test_what_changes_nothing(serving: Serving, client: httpx.AsyncClient) -> None:
    """A prediction is ignored, the service tier comes back, whole and streamed, and 128 choices are the most."""
    more = {"prediction": {"type": "content", "content": "Hello"}, "service_tier": "flex", "store": False}
    answer = (await client.post(PATH, json=body(**more))).json()
    assert answer["choices"][0]["message"]["content"] == "Hello world" and answer["service_tier"] == "flex"
    chunks = events((await client.post(PATH, json=body(stream=True, **more))).text)
    assert {chunk["service_tier"] for chunk in chunks} == {"flex"}
    many = (await client.post(PATH, json=body(n=128))).json()
    assert [choice["index"] for choice in many["choices"]] == list(range(128))
    assert serving.engine.requests[-1].choices == 128
    refused = await client.post(PATH, json=body(n=129))
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "n"
