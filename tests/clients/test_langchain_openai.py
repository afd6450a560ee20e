"""The package `langchain-openai` against the real daemon: chat over both of OpenAI's protocols, and embeddings."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from clients.conftest import KEY
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from support.live_daemon import LiveDaemon
from support.spoken_agent import TEXTS

RESPONSES = pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
ONE_LOOP = pytest.mark.asyncio(loop_scope="session")
"""The packages keep their connections for as long as they live."""


class Trip(BaseModel):
    """Where and for how long."""

    city: str
    days: int


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"fine in {city}"


def model(daemon: LiveDaemon, name: str, *, key: str = "none", **more: Any) -> ChatOpenAI:
    return ChatOpenAI(model=name, base_url=f"{daemon.url}/v1", api_key=key, max_retries=0, timeout=60, **more)


@RESPONSES
def test_chat(daemon: LiveDaemon, responses: bool) -> None:
    answer = model(daemon, "sentence", use_responses_api=responses).invoke("hi")
    assert answer.text == TEXTS["sentence"]
    usage = answer.usage_metadata
    assert usage is not None and usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


@RESPONSES
@ONE_LOOP
async def test_streamed(daemon: LiveDaemon, responses: bool) -> None:
    """The parts are the text, and have the usage with them; asynchronously as well."""
    chat = model(daemon, "sentence", use_responses_api=responses, stream_usage=True)
    parts = list(chat.stream("hi"))
    joined = sum(parts[1:], parts[0])
    assert isinstance(joined, AIMessageChunk) and joined.text == TEXTS["sentence"]
    assert joined.usage_metadata is not None and joined.usage_metadata["output_tokens"] > 0
    assert "".join([part.text async for part in chat.astream("hi")]) == TEXTS["sentence"]


@RESPONSES
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
def test_tools(daemon: LiveDaemon, responses: bool, streaming: bool) -> None:
    """Two calls, both answered, and the sentence."""
    chat = model(daemon, "two-calls", use_responses_api=responses, streaming=streaming).bind_tools([weather])
    asked = HumanMessage("What is the weather?")
    called = chat.invoke([asked])
    assert [(call["name"], call["args"]) for call in called.tool_calls] == [
        ("weather", {"city": "Rome"}),
        ("weather", {"city": "Oslo"}),
    ]
    assert called.text.strip() == "Both." and not called.invalid_tool_calls
    results = [weather.invoke(call) for call in called.tool_calls]
    assert all(isinstance(result, ToolMessage) for result in results)
    assert chat.invoke([asked, called, *results]).text == TEXTS["sentence"]


@pytest.mark.parametrize("way", ["json_schema", "function_calling", "json_mode"])
def test_structured_output(daemon: LiveDaemon, way: Any) -> None:
    """What comes is of the type, by each way that it knows. What its fields hold is the scripted model's chance where
    the shape takes other tokens than its script."""
    trip = model(daemon, "json").with_structured_output(Trip, method=way).invoke("Where?")
    assert isinstance(trip, Trip) and (way == "function_calling" or trip.city == "Rome")


def test_structured_output_of_responses(daemon: LiveDaemon) -> None:
    trip = model(daemon, "json", use_responses_api=True).with_structured_output(Trip).invoke("Where?")
    assert isinstance(trip, Trip) and trip.city == "Rome"


def test_reasoning(daemon: LiveDaemon) -> None:
    """Over the Responses API thoughts are blocks of their own; over chat this package drops them."""
    chat = model(daemon, "thought", use_responses_api=True, reasoning={"effort": "medium", "summary": "auto"})
    answer = chat.invoke("Think.")
    thoughts = [block["reasoning"] for block in answer.content_blocks if block["type"] == "reasoning"]
    assert [thought.strip() for thought in thoughts] == ["Let me see."]
    assert answer.text.strip() == "The answer is 42."
    streamed = list(chat.stream("Think."))
    joined = sum(streamed[1:], streamed[0])
    assert any("Let me see." in block.get("reasoning", "") for block in joined.content_blocks)
    dropped = model(daemon, "thought").invoke("Think.")
    assert dropped.text.strip() == "The answer is 42."
    assert dropped.usage_metadata is not None
    assert dropped.usage_metadata["output_token_details"]["reasoning"] > 0


def test_responses_go_on_from_each_other(daemon: LiveDaemon) -> None:
    """`use_previous_response_id`: only what is new is sent."""
    chat = model(daemon, "two-calls", use_responses_api=True, use_previous_response_id=True).bind_tools([weather])
    asked = HumanMessage("What is the weather?")
    called = chat.invoke([asked])
    assert called.response_metadata["id"].startswith("resp_")
    results = [weather.invoke(call) for call in called.tool_calls]
    assert chat.invoke([asked, called, *results]).text == TEXTS["sentence"]


def test_a_picture(daemon: LiveDaemon) -> None:
    red = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
    content: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "base64": red, "mime_type": "image/png"},
    ]
    for responses in (False, True):
        answer = model(daemon, "starter-vl", use_responses_api=responses).invoke([HumanMessage(content)])
        assert answer.text
        with pytest.raises(openai.BadRequestError, match="does not support vision"):
            model(daemon, "sentence", use_responses_api=responses).invoke([HumanMessage(content)])


def test_completions(daemon: LiveDaemon) -> None:
    made = OpenAI(model="starter", base_url=f"{daemon.url}/v1", api_key="none", max_tokens=8, max_retries=0)
    assert made.invoke("Hello")


def test_embeddings(daemon: LiveDaemon) -> None:
    """As texts, which is how it is set for servers that are not OpenAI's."""
    made = OpenAIEmbeddings(
        model="starter-embed", base_url=f"{daemon.url}/v1", api_key="none", check_embedding_ctx_length=False
    )
    first, second = made.embed_documents(["a cat", "a dog"])
    assert len(first) == len(second) > 10 and first != second
    assert made.embed_query("a cat") == pytest.approx(first, abs=1e-4)


def test_errors(daemon: LiveDaemon) -> None:
    with pytest.raises(openai.NotFoundError, match="nobody"):
        model(daemon, "nobody").invoke("hi")
    with pytest.raises(openai.BadRequestError) as wrong:
        model(daemon, "sentence", temperature=7).invoke("hi")
    assert wrong.value.param == "temperature"
    for responses in (False, True):
        with pytest.raises(ContextOverflowError):
            model(daemon, "reader", use_responses_api=responses).invoke("x" * 70_000)


def test_a_bad_key(locked: LiveDaemon) -> None:
    assert model(locked, "starter", key=KEY, max_tokens=4).invoke("hi")
    for responses in (False, True):
        with pytest.raises(openai.AuthenticationError):
            model(locked, "starter", key="a-key-that-is-wrong", use_responses_api=responses).invoke("hi")
