"""The package `litellm` against the real daemon, as a client of each of the APIs that it knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import litellm
import pytest
from clients.conftest import KEY
from support.live_daemon import LiveDaemon
from support.spoken_agent import TEXTS

PATHS = {"openai": "/v1", "hosted_vllm": "/v1", "ollama_chat": "", "ollama": "", "anthropic": ""}
CHATS = ("openai", "hosted_vllm", "ollama_chat", "anthropic")
ASKED = [{"role": "user", "content": "hi"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TRIP = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """It keeps clients of its own, one for each key and address."""
    litellm.suppress_debug_info = True
    yield


def ask(daemon: LiveDaemon, provider: str, name: str, messages: Any = ASKED, **more: Any) -> Any:
    options = {"api_key": "none", "num_retries": 0, "timeout": 60} | more
    base = daemon.url + PATHS[provider]
    return litellm.completion(model=f"{provider}/{name}", api_base=base, messages=messages, **options)


@pytest.mark.parametrize("provider", PATHS)
def test_chat(daemon: LiveDaemon, provider: str) -> None:
    answer = ask(daemon, provider, "sentence")
    assert answer.choices[0].message.content == TEXTS["sentence"] and answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens > 0 and answer.usage.prompt_tokens > 0


@pytest.mark.parametrize("provider", PATHS)
@pytest.mark.asyncio(loop_scope="session")
async def test_streamed(daemon: LiveDaemon, provider: str) -> None:
    parts = list(ask(daemon, provider, "sentence", stream=True))
    assert "".join(part.choices[0].delta.content or "" for part in parts) == TEXTS["sentence"]
    assert parts[-1].choices[0].finish_reason == "stop"
    stream = await litellm.acompletion(
        model=f"{provider}/sentence",
        api_base=daemon.url + PATHS[provider],
        messages=ASKED,
        api_key="none",
        stream=True,
    )
    assert "".join([part.choices[0].delta.content or "" async for part in stream]) == TEXTS["sentence"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", CHATS)
def test_tools(daemon: LiveDaemon, provider: str, stream: bool) -> None:
    """Two calls, both answered, and the sentence. Streams of Ollama's have one here: two of them it takes for one,
    whatever index their functions have."""
    name = "one-call" if provider == "ollama_chat" and stream else "two-calls"
    answer = ask(daemon, provider, name, tools=[WEATHER], stream=stream)
    if stream:
        answer = litellm.stream_chunk_builder(list(answer))
    message = answer.choices[0].message
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls]
    assert calls == [("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"})][: 1 if name == "one-call" else 2]
    assert answer.choices[0].finish_reason == "tool_calls"
    results = [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in message.tool_calls]
    ended = ask(daemon, provider, name, [*ASKED, message.model_dump(), *results], tools=[WEATHER])
    assert ended.choices[0].message.content == TEXTS["sentence"]


@pytest.mark.parametrize("provider", CHATS)
def test_structured_output(daemon: LiveDaemon, provider: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "trip", "schema": TRIP, "strict": True}}
    answer = ask(daemon, provider, "json", response_format=form)
    trip = json.loads(answer.choices[0].message.content)
    assert set(trip) == {"city", "days"} and isinstance(trip["days"], int)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", CHATS)
def test_reasoning(daemon: LiveDaemon, provider: str, stream: bool) -> None:
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
    more = thinking | {"allowed_openai_params": ["thinking"]} if provider == "anthropic" else {}
    answer = ask(daemon, provider, "thought", stream=stream, **more)
    if stream:
        answer = litellm.stream_chunk_builder(list(answer))
    message = answer.choices[0].message
    assert message.reasoning_content.strip() == "Let me see."
    assert message.content.strip() == "The answer is 42."


def test_responses(daemon: LiveDaemon) -> None:
    base = {"api_base": f"{daemon.url}/v1", "api_key": "none"}
    answer = litellm.responses(model="openai/sentence", input="hi", **base)
    assert answer.output[0].content[0].text == TEXTS["sentence"]
    events = list(litellm.responses(model="openai/sentence", input="hi", stream=True, **base))
    assert "".join(getattr(event, "delta", "") for event in events) == TEXTS["sentence"]
    assert events[-1].type == "response.completed"


def test_completions(daemon: LiveDaemon) -> None:
    made = litellm.text_completion(
        model="text-completion-openai/starter",
        prompt="Hello",
        api_base=f"{daemon.url}/v1",
        api_key="none",
        max_tokens=8,
    )
    assert made.choices[0].text


@pytest.mark.parametrize(("provider", "path"), [("openai", "/v1"), ("ollama", ""), ("hosted_vllm", "/v1")])
def test_embeddings(daemon: LiveDaemon, provider: str, path: str) -> None:
    made = litellm.embedding(
        model=f"{provider}/starter-embed", input=["a cat", "a dog"], api_base=daemon.url + path, api_key="none"
    )
    first, second = (row["embedding"] for row in made.data)
    assert len(first) == len(second) > 10 and first != second


@pytest.mark.parametrize("provider", ["jina_ai", "hosted_vllm"])
def test_reranking(daemon: LiveDaemon, provider: str) -> None:
    made = litellm.rerank(
        model=f"{provider}/starter-rerank",
        query="capital of France",
        documents=["Paris", "a fish"],
        api_base=f"{daemon.url}/v1/rerank",
        api_key="none",
    )
    assert sorted(row["index"] for row in made.results) == [0, 1]


@pytest.mark.parametrize("provider", CHATS)
def test_errors(daemon: LiveDaemon, provider: str) -> None:
    with pytest.raises(litellm.NotFoundError if provider in ("openai", "hosted_vllm", "anthropic") else Exception):
        ask(daemon, provider, "nobody")
    if provider in ("openai", "hosted_vllm"):
        with pytest.raises(litellm.BadRequestError, match="temperature"):
            ask(daemon, provider, "sentence", temperature=7)
    if provider != "ollama_chat":
        with pytest.raises(litellm.ContextWindowExceededError):
            ask(daemon, provider, "reader", [{"role": "user", "content": "x" * 70_000}])


@pytest.mark.parametrize("provider", CHATS)
def test_a_bad_key(locked: LiveDaemon, provider: str) -> None:
    assert ask(locked, provider, "starter", api_key=KEY, max_tokens=4).choices
    with pytest.raises(litellm.AuthenticationError):
        ask(locked, provider, "starter", api_key="a-key-that-is-wrong")
