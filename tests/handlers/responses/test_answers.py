"""/v1/responses over a real connection, with an engine that says what a test wants: documents, and events."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
from fakes.engine import finished, says
from fakes.serving import MODEL, Serving
from support.responses_wire import checked, events, kinds

from mlx_serve.daemon.errors import CancelledByOperator, RequestRejected, RunnerDied
from mlx_serve.daemon.protocol import Accepted, ChatPrompt, Delta, TokenLogprob, ToolCall

PATH = "/v1/responses"
SHELL = {
    "type": "function",
    "name": "shell",
    "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}},
}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Patches files."}
SPACE = {
    "type": "namespace",
    "name": "agents",
    "description": "Agents.",
    "tools": [{"type": "function", "name": "spawn"}],
}


def body(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "input": "hi"} | more


async def whole(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    response = await client.post(PATH, json=body(**more))
    assert response.status_code == 200, response.text
    return checked(response.json())


async def streamed(client: httpx.AsyncClient, **more: Any) -> list[dict[str, Any]]:
    response = await client.post(PATH, json=body(stream=True, **more))
    assert response.status_code == 200 and response.headers["content-type"].startswith("text/event-stream")
    return events(response.text)


async def test_an_answer_is_one_document(client: httpx.AsyncClient) -> None:
    """With usage, an item that has the text, and every parameter that OpenAI's answers have."""
    answer = await whole(client)
    assert answer["object"] == "response" and answer["status"] == "completed" and answer["model"] == MODEL
    assert answer["id"].startswith("resp_") and answer["error"] is None and answer["incomplete_details"] is None
    (item,) = answer["output"]
    assert item["type"] == "message" and item["role"] == "assistant" and item["status"] == "completed"
    assert item["content"] == [{"type": "output_text", "text": "Hello world", "annotations": [], "logprobs": []}]
    assert answer["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 11,
    }
    echoed = {
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "store": True,
        "truncation": "disabled",
        "instructions": None,
        "metadata": {},
        "previous_response_id": None,
        "text": {"format": {"type": "text"}},
        "reasoning": {"effort": None, "summary": None},
        "background": False,
        "service_tier": "default",
    }
    assert {name: answer[name] for name in echoed} == echoed


async def test_parameters_come_back_as_they_were_given(client: httpx.AsyncClient) -> None:
    given: dict[str, Any] = {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 20,
        "top_logprobs": 2,
        "tools": [SHELL, PATCH, SPACE, {"type": "web_search"}],
        "tool_choice": {"type": "function", "name": "shell"},
        "metadata": {"a": "b"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "store": False,
        "truncation": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "summary": "auto"},
        "max_tool_calls": 3,
        "service_tier": "flex",
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
    }
    answer = await whole(client, **given)
    given["tools"] = [SHELL | {"strict": False}, *given["tools"][1:]]
    assert {name: answer[name] for name in given} == given


async def test_the_engine_is_asked_for_what_was_asked(serving: Serving, client: httpx.AsyncClient) -> None:
    await client.post(
        PATH,
        json=body(
            temperature=0.5, top_p=0.9, max_output_tokens=20, instructions="Be brief.",
            tools=[SHELL, {"type": "web_search"}], tool_choice="required",
            parallel_tool_calls=False, reasoning={"effort": "high"}, truncation="auto",
            text={"format": {"type": "json_object"}}, include=["message.output_text.logprobs"], seed=7,
        ),
    )  # fmt: skip
    (work,) = serving.engine.requests
    assert isinstance(work.prompt, ChatPrompt)
    assert work.prompt.messages == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"})
    assert [tool["function"]["name"] for tool in work.prompt.tools] == ["shell"]
    assert work.prompt.thinking == "high" and work.prompt.drop_oldest
    assert (work.sampling.temperature, work.sampling.top_p, work.sampling.seed) == (0.5, 0.9, 7)
    assert (work.max_tokens, work.logprobs, work.parse_tools, work.stream_calls) == (20, 0, True, False)
    assert work.calling.required and not work.calling.parallel and work.grammar.type == "json"


async def test_the_events_of_a_text(client: httpx.AsyncClient) -> None:
    found = await streamed(client)
    assert kinds(found) == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *["output_text.delta"] * kinds(found).count("output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    text = "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta")
    done = {event["type"]: event for event in found}
    assert text == done["response.output_text.done"]["text"] == "Hello world"
    assert done["response.output_item.done"]["item"] == done["response.completed"]["response"]["output"][0]
    assert done["response.created"]["response"]["status"] == "in_progress"
    assert len({event["response"]["id"] for event in found if "response" in event}) == 1
    assert len({event["item_id"] for event in found if "item_id" in event}) == 1


THOUGHT_AND_CALLS = (
    Delta(id=1, reasoning="Let me "),
    Delta(id=1, reasoning="see."),
    Delta(id=1, text="I look."),
    Delta(id=1, tool_calls=(ToolCall("shell", "{", 0),)),
    Delta(id=1, tool_calls=(ToolCall("", '"cmd": "ls"}', 0),)),
    Delta(id=1, tool_calls=(ToolCall("apply_patch", '{"input": "*** Begin\\n"}', 1), ToolCall("spawn", "{}", 2))),
    finished("tool_calls", reasoning_tokens=2, cached_tokens=3),
)


async def test_thoughts_text_and_calls_of_every_kind(serving: Serving, client: httpx.AsyncClient) -> None:
    """The same items whole and streamed: a custom tool's call has `input`, one of a namespace has `namespace`."""
    serving.engine.script = says(*THOUGHT_AND_CALLS)
    tools = [SHELL, PATCH, SPACE]
    answer = await whole(client, tools=tools)
    found = await streamed(client, tools=tools)
    last = found[-1]["response"]
    for response in (answer, last):
        thought, message, shell, patch, spawn = response["output"]
        assert thought["type"] == "reasoning" and thought["summary"] == [] and "encrypted_content" not in thought
        assert thought["content"] == [{"type": "reasoning_text", "text": "Let me see."}]
        assert message["content"][0]["text"] == "I look."
        assert shell["type"] == "function_call" and shell["name"] == "shell" and shell["arguments"] == '{"cmd": "ls"}'
        assert patch["type"] == "custom_tool_call" and patch["input"] == "*** Begin\n" and "arguments" not in patch
        assert spawn["type"] == "function_call" and (spawn["namespace"], spawn["name"]) == ("agents", "spawn")
        assert len({item["call_id"] for item in (shell, patch, spawn)}) == 3
        assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": 2}
        assert response["usage"]["input_tokens_details"]["cached_tokens"] == 3
    items = [event["item"] for event in found if event["type"] == "response.output_item.done"]
    assert items == last["output"]
    assert [event["output_index"] for event in found if event["type"] == "response.output_item.added"] == [
        0,
        1,
        2,
        3,
        4,
    ]
    first = [kind for kind in kinds(found)[2:] if kind != "reasoning_text.delta"][:5]
    assert first[:2] == ["output_item.added", "content_part.added"]
    assert first[2:] == ["reasoning_text.done", "content_part.done", "output_item.done"]
    arguments = [e["delta"] for e in found if e["type"] == "response.function_call_arguments.delta"]
    assert "".join(arguments) == '{"cmd": "ls"}{}'
    assert [e["input"] for e in found if e["type"] == "response.custom_tool_call_input.done"] == ["*** Begin\n"]
    assert [e["delta"] for e in found if e["type"] == "response.custom_tool_call_input.delta"] == ["*** Begin\n"]


async def test_a_summary_is_what_clients_show(serving: Serving, client: httpx.AsyncClient) -> None:
    """Asked for a summary, the thought comes as one, and no second time; sealed it can come back."""
    serving.engine.script = says(Delta(id=1, reasoning="Hm."), Delta(id=1, text="Yes."), finished())
    asked = {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]}
    found = await streamed(client, **asked)
    assert kinds(found)[2:8] == [
        *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"),
    ]
    thought = found[7]["item"]
    assert thought["summary"] == [{"type": "summary_text", "text": "Hm."}] and "content" not in thought
    assert (await whole(client, **asked))["output"][0]["encrypted_content"] == thought["encrypted_content"]
    back = {"type": "reasoning", "id": thought["id"], "summary": [], "encrypted_content": thought["encrypted_content"]}
    turn = [
        {"role": "user", "content": "a"},
        back,
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    await whole(client, input=turn)
    assert serving.engine.requests[-1].prompt.messages[1] == {"role": "assistant", "content": "b", "thinking": "Hm."}


async def test_an_answer_that_is_cut(serving: Serving, client: httpx.AsyncClient) -> None:
    serving.engine.script = says(Delta(id=1, text="Once"), finished("length"))
    for response in (await whole(client), (await streamed(client))[-1]["response"]):
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert response["output"][0]["status"] == "incomplete" and response["completed_at"] is None
    assert (await streamed(client))[-1]["type"] == "response.incomplete"


async def test_an_answer_that_says_nothing_has_an_empty_text(serving: Serving, client: httpx.AsyncClient) -> None:
    serving.engine.script = says(finished(tokens=0))
    for response in (await whole(client), (await streamed(client))[-1]["response"]):
        assert response["output"][0]["content"][0]["text"] == ""


async def test_log_probabilities_are_those_of_the_text(serving: Serving, client: httpx.AsyncClient) -> None:
    """Of every token that the text is made of, one whose bytes come with the next included; thoughts have none."""

    def token(text: str, channel: Any = "content") -> TokenLogprob:
        return TokenLogprob(
            text, -0.5, tuple(text.encode()), (TokenLogprob(text, -0.5), TokenLogprob("z", -2.0)), channel
        )

    serving.engine.script = says(
        Delta(id=1, reasoning="Hm", logprobs=(token("Hm", "reasoning"),)),
        Delta(id=1, logprobs=(token("</think>", "reasoning"),)),
        Delta(id=1, text="A", logprobs=(token("A"),)),
        Delta(id=1, logprobs=(token("B"),)),
        Delta(id=1, text="BC", logprobs=(token("C"),)),
        finished(),
    )
    asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    (part,) = (await whole(client, **asked))["output"][1]["content"]
    assert [each["token"] for each in part["logprobs"]] == ["A", "B", "C"]
    assert part["logprobs"][0] == {
        "token": "A",
        "logprob": -0.5,
        "bytes": [65],
        "top_logprobs": [
            {"token": "A", "logprob": -0.5, "bytes": [65]},
            {"token": "z", "logprob": -2.0, "bytes": [122]},
        ],
    }
    found = await streamed(client, **asked)
    deltas = [event for event in found if event["type"] == "response.output_text.delta"]
    assert [each["token"] for event in deltas for each in event["logprobs"]] == ["A", "B", "C"]
    assert (await whole(client))["output"][1]["content"][0]["logprobs"] == []


async def test_one_call_where_calls_are_not_parallel(serving: Serving, client: httpx.AsyncClient) -> None:
    serving.engine.script = says(*THOUGHT_AND_CALLS)
    answer = await whole(client, tools=[SHELL, PATCH, SPACE], parallel_tool_calls=False)
    assert [item["type"] for item in answer["output"]] == ["reasoning", "message", "function_call"]


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (
            RequestRejected("context_length_exceeded", "the prompt has 9 tokens", "messages"),
            "context_length_exceeded",
            400,
        ),
        (RequestRejected("numerical_error", "not a number"), "server_error", 500),
        (RunnerDied(MODEL, "it ended"), "server_error", 500),
        (CancelledByOperator(), "invalid_prompt", 499),
    ],
)
async def test_a_failure_in_a_stream(
    serving: Serving, client: httpx.AsyncClient, error: Exception, code: str, status: int
) -> None:
    """An `error`, then the response as it failed; and the body ends as HTTP has it."""
    serving.engine.script = says(Delta(id=1, text="Once"), error)
    found = await streamed(client)
    assert kinds(found)[-2:] == ["error", "failed"]
    failed = found[-1]["response"]
    assert failed["status"] == "failed" and failed["error"]["code"] == found[-2]["code"] == code
    assert (await client.post(PATH, json=body())).status_code == status


async def test_too_long_before_a_stream_begins(serving: Serving, client: httpx.AsyncClient) -> None:
    """A 400 with the code that clients look for, which names our field and not the engine's."""
    error = RequestRejected("context_length_exceeded", "'messages' has too many tokens", "messages")
    serving.engine.script = lambda request: [error]
    for stream in (True, False):
        response = await client.post(PATH, json=body(stream=stream))
        assert response.status_code == 400
        told = response.json()["error"]
        assert (told["code"], told["param"]) == ("context_length_exceeded", "input")
        assert told["type"] == "invalid_request_error" and "'input'" in told["message"]


async def test_a_schema_that_cannot_be_kept_is_named_where_the_client_put_it(
    serving: Serving, client: httpx.AsyncClient
) -> None:
    error = RequestRejected("invalid_request", "no 'not'", "tools[1].function.parameters")
    serving.engine.script = lambda request: [error]
    response = await client.post(PATH, json=body(tools=[SHELL, {"type": "web_search"}, SPACE]))
    assert response.json()["error"]["param"] == "tools[2].tools[0].parameters"


async def test_what_was_changed_is_told(serving: Serving, client: httpx.AsyncClient) -> None:
    """A limit beyond the context, hosted tools, items that were left out: in the header, and in the response."""
    serving.engine.script = lambda request: [Accepted(id=1, prompt_tokens=7, truncated=True), finished()]
    tools = [{"type": "web_search_2031", "external_web_access": True}, {"type": "tool_search", "execution": "client"}]
    response = await client.post(PATH, json=body(max_output_tokens=10**9, tools=tools, truncation="auto"))
    notice = response.headers["x-mlx-serve-notice"]
    assert "max_output_tokens 1000000000" in notice and "web_search_2031, tool_search" in notice
    assert "oldest items" in notice and response.json()["prompt_truncated"] is True
    serving.engine.script = says(finished())
    assert "x-mlx-serve-notice" not in (await client.post(PATH, json=body())).headers


@pytest.mark.parametrize("effort", ["minimal", "high", "xhigh"])
async def test_an_effort_is_no_fault_where_a_model_cannot_think(
    serving: Serving, client: httpx.AsyncClient, effort: str
) -> None:
    """Codex sends what its configuration says to every model. It is told; a budget of a thought is refused."""
    serving.store.add(MODEL, capabilities=("completion", "tools"))
    serving.residency.info = msgspec.structs.replace(serving.residency.info, capabilities=("completion", "tools"))
    asked = {"effort": effort, "summary": "auto"}
    response = await client.post(PATH, json=body(reasoning=asked))
    assert response.status_code == 200 and response.json()["output"][0]["content"][0]["text"] == "Hello world"
    assert "reasoning.effort" in response.headers["x-mlx-serve-notice"]
    prompt = serving.engine.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt) and prompt.thinking is None
    plain = await client.post(PATH, json=body(reasoning={"effort": "none"}))
    assert plain.status_code == 200 and "x-mlx-serve-notice" not in plain.headers
    refused = await client.post(PATH, json=body(reasoning={"max_tokens": 9}))
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "reasoning.max_tokens")
    counted = await client.post(f"{PATH}/input_tokens", json=body(reasoning=asked))
    assert counted.status_code == 200
