"""/v1/responses through the real daemon, with OpenAI's own client, by models that say given texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pydantic
import pytest
from openai.types.responses import ResponseStreamEvent
from support.live_daemon import LiveDaemon
from support.responses_wire import checked
from support.sent_pictures import data_url, drawn
from support.spoken_agent import PATCH, TEXTS, create, script, write_agent

from mlx_serve.store.store import Store

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
EXEC: Any = {"type": "function", "name": "exec_command", "parameters": {"type": "object", "properties": {"cmd": {}}}}
APPLY: Any = {
    "type": "custom",
    "name": "apply_patch",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'},
}
AGENTS: Any = {
    "type": "namespace",
    "name": "agents",
    "description": "x",
    "tools": [{"type": "function", "name": "spawn_agent"}],
}
_EVENT: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    """A daemon with a model of each script, and one that sees."""
    folder = tmp_path_factory.mktemp("agents")
    write_agent(folder / "agent")
    store = Store.open(folder / "models")
    store.pull(str(folder / "agent"))
    store.pull("starter-vl")
    with LiveDaemon(folder / "models", cache_max_llm_models=2) as running:
        running.ready()
        for text in TEXTS:
            create(running, text.replace(" ", "-"), script(text))
        create(running, "reader", script("sentence", contents=True))
        yield running


@pytest.fixture(scope="module")
def client(agents: LiveDaemon) -> Iterator[openai.OpenAI]:
    http = httpx.Client(trust_env=False, verify=False, timeout=100)
    with openai.OpenAI(base_url=f"{agents.url}/v1", api_key="none", max_retries=0, http_client=http) as made:
        yield made


def whole(client: openai.OpenAI, model: str, given: Any = "hi", **more: Any) -> Any:
    """A response that fits OpenAI's model, as it is."""
    response: Any = client.responses.create(model=model, input=given, **more)
    checked(response.model_dump(mode="json", by_alias=True, exclude_unset=True))
    return response


def streamed(client: openai.OpenAI, model: str, given: Any = "hi", **more: Any) -> list[Any]:
    """The events, each of which fits OpenAI's model of it, in their order."""
    found: list[Any] = list(client.responses.create(model=model, input=given, stream=True, **more))
    for number, event in enumerate(found):
        _EVENT.validate_python(event.model_dump(mode="json", by_alias=True, exclude_unset=True))
        assert event.sequence_number == number
    assert [found[0].type, found[1].type] == ["response.created", "response.in_progress"]
    return found


def said(item: Any) -> Any:
    """An item without what is new each time."""
    return item.model_dump(exclude={"id", "call_id"})


def both(client: openai.OpenAI, model: str, **more: Any) -> Any:
    """The response whole; what is streamed has the same items, and so has its last event."""
    response = whole(client, model, **more)
    found = streamed(client, model, **more)
    last = found[-1].response
    assert last.status == response.status and found[-1].type == f"response.{last.status}"
    assert list(map(said, last.output)) == list(map(said, response.output))
    assert [event.item for event in found if event.type == "response.output_item.done"] == last.output
    assert last.usage.output_tokens == response.usage.output_tokens
    return response


def test_a_text(client: openai.OpenAI) -> None:
    response = both(client, "sentence")
    assert response.output_text == TEXTS["sentence"] and response.status == "completed"
    usage = response.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens and usage.output_tokens > 1
    cut = both(client, "sentence", max_output_tokens=2)
    assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens"
    assert TEXTS["sentence"].startswith(cut.output_text.rstrip("\ufffd")) and cut.output[0].status == "incomplete"


def test_a_thought(client: openai.OpenAI) -> None:
    """As text, or as a summary; it comes back sealed, and the model is told it again."""
    thought, answer = both(client, "thought").output
    assert thought.content[0].text.strip() == "Let me see." and thought.summary == []
    assert answer.content[0].text.strip() == "The answer is 42."
    asked: Any = {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]}
    response = both(client, "thought", **asked)
    assert response.output[0].summary[0].text.strip() == "Let me see." and response.output[0].encrypted_content
    assert response.usage.output_tokens_details.reasoning_tokens > 0
    history = [{"role": "user", "content": "a"}, *response.output, {"role": "user", "content": "b"}]
    assert whole(client, "thought", history).output_text


def test_an_effort_where_a_model_cannot_think(client: openai.OpenAI) -> None:
    """`agent` itself has a template that knows nothing of thinking: it answers, and the client is told."""
    asked: Any = {"model": "agent", "input": "hi", "max_output_tokens": 4}
    answer = client.responses.with_raw_response.create(**asked, reasoning={"effort": "high"})
    assert answer.parse().usage is not None and "reasoning.effort" in answer.headers["x-mlx-serve-notice"]
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(**asked, extra_body={"reasoning": {"max_tokens": 9}})
    assert caught.value.param == "reasoning.max_tokens"


def test_calls_of_every_kind(client: openai.OpenAI) -> None:
    tools = [EXEC, APPLY, AGENTS, {"type": "web_search"}]
    (call,) = both(client, "exec", tools=tools).output
    assert (call.type, call.name, call.namespace) == ("function_call", "exec_command", None)
    assert json.loads(call.arguments) == {"cmd": "echo hi | tee made.txt"} and call.call_id.startswith("call_")
    (call,) = both(client, "patch", tools=tools).output
    assert (call.type, call.name, call.input) == ("custom_tool_call", "apply_patch", PATCH)
    (call,) = both(client, "spawn", tools=tools).output
    assert (call.type, call.namespace, call.name, call.arguments) == ("function_call", "agents", "spawn_agent", "{}")
    text, rome, oslo = both(client, "two-calls", tools=[WEATHER]).output
    assert text.content[0].text.strip() == "Both."
    assert [json.loads(each.arguments)["city"] for each in (rome, oslo)] == ["Rome", "Oslo"]
    thought, call = both(client, "thought-and-exec", tools=tools).output
    assert (thought.type, call.name) == ("reasoning", "exec_command")
    assert "<tool_call>" in whole(client, "exec", tools=tools, tool_choice="none").output_text


def test_a_tool_answers_and_the_conversation_goes_on(client: openai.OpenAI) -> None:
    """By the items sent again, and by `previous_response_id`."""
    first = whole(client, "exec", tools=[EXEC])
    result = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "hi\n"}
    history = [{"role": "user", "content": "hi"}, *first.output, result]
    assert whole(client, "exec", history, tools=[EXEC]).output_text == TEXTS["sentence"]
    second = whole(client, "exec", [result], tools=[EXEC], previous_response_id=first.id)
    assert second.output_text == TEXTS["sentence"] and second.previous_response_id == first.id
    assert client.responses.retrieve(second.id).output_text == TEXTS["sentence"]
    items = client.responses.input_items.list(second.id, order="asc")
    assert [item.type for item in items] == ["message", "function_call", "function_call_output"]
    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)
    with pytest.raises(openai.NotFoundError) as caught:
        whole(client, "exec", "hi", previous_response_id=second.id)
    assert caught.value.code == "previous_response_not_found"
    unkept = whole(client, "sentence", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(unkept.id)
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        client.responses.cancel(first.id)


class Trip(pydantic.BaseModel):
    city: str
    days: int


def test_structured(client: openai.OpenAI) -> None:
    """`parse`, a schema, any object; and what follows a schema even where the model would say something else."""
    parsed = client.responses.parse(model="json", input="hi", text_format=Trip, temperature=0)
    assert isinstance(parsed.output_parsed, Trip) and parsed.output_parsed.city == "Rome"
    schema: Any = {"type": "json_schema", "name": "trip", "strict": True, "schema": Trip.model_json_schema()}
    assert Trip.model_validate_json(whole(client, "json", text={"format": schema}, temperature=0).output_text)
    assert json.loads(whole(client, "json", text={"format": {"type": "json_object"}}).output_text)["city"] == "Rome"
    choice: Any = {"type": "json_schema", "name": "c", "schema": {"enum": ["yes", "no"]}}
    assert whole(client, "agent", text={"format": choice}, max_output_tokens=50).output_text in ('"yes"', '"no"')


def forced(client: openai.OpenAI, **more: Any) -> list[Any]:
    """What a model says that would say a sentence, after its thoughts."""
    response = whole(client, "sentence", temperature=0, max_output_tokens=300, **more)
    return [item for item in response.output if item.type != "reasoning"]


def test_forced_calls(client: openai.OpenAI) -> None:
    """The model would say a sentence; what is forced follows the tool's schema, or its regular expression."""
    choice: Any = {"type": "function", "name": "weather"}
    (call,) = forced(client, tools=[WEATHER, EXEC], tool_choice=choice)
    assert call.name == "weather"
    number: Any = {
        "type": "custom",
        "name": "number",
        "format": {"type": "grammar", "syntax": "regex", "definition": "[0-9]{2}"},
    }
    asked: Any = {"tools": [EXEC, number], "tool_choice": {"type": "custom", "name": "number"}}
    (call,) = forced(client, **asked)
    assert call.type == "custom_tool_call" and len(call.input) == 2 and call.input.isdigit()
    (call,) = forced(client, tools=[AGENTS], tool_choice="required", parallel_tool_calls=False)
    assert (call.namespace, call.name) == ("agents", "spawn_agent")


def test_log_probabilities(client: openai.OpenAI) -> None:
    asked: Any = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    part = both(client, "sentence", **asked).output[0].content[0]
    assert bytes(byte for each in part.logprobs for byte in each.bytes).decode() == part.text
    assert all(len(each.top_logprobs) == 2 and each.logprob <= 0 for each in part.logprobs)


def test_the_streaming_helper(client: openai.OpenAI) -> None:
    """`responses.stream` puts together what the events say."""
    with client.responses.stream(model="sentence", input="hi") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text == TEXTS["sentence"]
    with client.responses.stream(model="json", input="hi", text_format=Trip, temperature=0) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Trip)
    with client.responses.stream(model="thought-and-exec", input="hi", tools=[EXEC]) as stream:
        thought, call = stream.get_final_response().output
        assert thought.type == "reasoning" and call.type == "function_call"
        assert json.loads(call.arguments) == {"cmd": "ls"}


async def test_the_asynchronous_client(agents: LiveDaemon) -> None:
    http = httpx.AsyncClient(trust_env=False, verify=False, timeout=100)
    async with openai.AsyncOpenAI(base_url=f"{agents.url}/v1", api_key="none", http_client=http) as gpt:
        assert (await gpt.responses.create(model="sentence", input="hi")).output_text == TEXTS["sentence"]
        stream = await gpt.responses.create(model="exec", input="hi", tools=[EXEC], stream=True)
        found = [event async for event in stream]
        assert found[-1].type == "response.completed"


def test_a_prompt_that_is_too_long(client: openai.OpenAI) -> None:
    """A 400 with the code that clients look for, streamed or not; with `truncation` the oldest items go."""
    long = [{"role": "user", "content": "x" * 70_000}, {"role": "user", "content": "hi"}]
    for stream in (True, False):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="reader", input=long, stream=stream)  # type: ignore[call-overload]
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
    raw = client.responses.with_raw_response.create(model="reader", input=long, truncation="auto")  # type: ignore[arg-type]
    assert "oldest items" in raw.headers["x-mlx-serve-notice"]
    assert raw.parse().output_text == TEXTS["sentence"]
    raw = client.responses.with_raw_response.create(model="reader", input="hi", max_output_tokens=10**8)
    assert "max_output_tokens" in raw.headers["x-mlx-serve-notice"]


def test_counting(client: openai.OpenAI) -> None:
    """As many as the response then reads; tools, instructions and what went before count too."""
    asked: Any = {"input": "hi there", "instructions": "Be brief.", "tools": [EXEC]}
    first = client.responses.create(model="reader", **asked)
    assert first.usage and client.responses.input_tokens.count(model="reader", **asked).input_tokens == (
        first.usage.input_tokens
    )
    more: Any = {"input": "so?", "previous_response_id": first.id}
    second = client.responses.create(model="reader", **more)
    counted = client.responses.input_tokens.count(model="reader", **more)
    assert second.usage and counted.input_tokens == second.usage.input_tokens > 0
    assert counted.object == "response.input_tokens"
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.input_tokens.count(model="reader", input="hi", tools=[{"type": "function"}])  # type: ignore[list-item]
    assert caught.value.param == "tools[0].name"


def test_pictures(client: openai.OpenAI) -> None:
    """In a message, and as what a tool gave; a model that cannot see says so."""
    picture = {"type": "input_image", "image_url": data_url(drawn("#d81e1e", "circle")), "detail": "auto"}
    asked = [{"role": "user", "content": [{"type": "input_text", "text": "What shape is this?"}, picture]}]
    response = whole(client, "starter-vl", asked, temperature=0, max_output_tokens=20)
    assert "circle" in response.output_text.lower()
    with pytest.raises(openai.BadRequestError, match="does not support vision") as caught:
        whole(client, "sentence", asked)
    assert caught.value.param == "input[0].content[1].image_url"


def test_closing_the_stream_cancels(agents: LiveDaemon) -> None:
    with agents.stream("/v1/responses", model="reader", input="hi") as stream:
        next(iter(stream))
    agents.wait_for_rest()
