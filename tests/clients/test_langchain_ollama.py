"""The package `langchain-ollama` against the real daemon: chat, generation and embeddings over Ollama's API."""

from __future__ import annotations

from typing import Any

import ollama
import pytest
from clients.conftest import KEY
from clients.test_langchain_openai import ONE_LOOP, Trip, weather
from langchain_core.messages import HumanMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM
from support.live_daemon import LiveDaemon
from support.spoken_agent import TEXTS


def model(daemon: LiveDaemon, name: str, **more: Any) -> ChatOllama:
    return ChatOllama(model=name, base_url=daemon.url, validate_model_on_init=True, **more)


@ONE_LOOP
async def test_chat(daemon: LiveDaemon) -> None:
    """It looks the name up in the list first."""
    chat = model(daemon, "sentence", temperature=0)
    answer = chat.invoke("hi")
    assert answer.text == TEXTS["sentence"] and answer.response_metadata["done_reason"] == "stop"
    assert answer.usage_metadata is not None and answer.usage_metadata["output_tokens"] > 0
    assert "".join(part.text for part in chat.stream("hi")) == TEXTS["sentence"]
    assert (await chat.ainvoke("hi")).text == TEXTS["sentence"]
    assert "".join([part.text async for part in chat.astream("hi")]) == TEXTS["sentence"]


def test_a_name_that_is_not_listed(daemon: LiveDaemon) -> None:
    with pytest.raises(ValueError, match="nobody"):
        model(daemon, "nobody")


def test_tools(daemon: LiveDaemon) -> None:
    """Two calls, and results that say not which call they answer."""
    chat = model(daemon, "two-calls").bind_tools([weather])
    asked = HumanMessage("What is the weather?")
    called = chat.invoke([asked])
    assert [call["args"] for call in called.tool_calls] == [{"city": "Rome"}, {"city": "Oslo"}]
    results = [weather.invoke(call) for call in called.tool_calls]
    assert chat.invoke([asked, called, *results]).text == TEXTS["sentence"]


@pytest.mark.parametrize("way", ["json_schema", "json_mode"])
def test_structured_output(daemon: LiveDaemon, way: Any) -> None:
    trip = model(daemon, "json").with_structured_output(Trip, method=way).invoke("Where?")
    assert isinstance(trip, Trip) and trip.city == "Rome"


def test_reasoning(daemon: LiveDaemon) -> None:
    """Apart from the answer where it is asked for."""
    answer = model(daemon, "thought", reasoning=True).invoke("Think.")
    assert answer.additional_kwargs["reasoning_content"].strip() == "Let me see."
    assert answer.text.strip() == "The answer is 42."
    parts = list(model(daemon, "thought", reasoning=True).stream("Think."))
    thought = "".join(part.additional_kwargs.get("reasoning_content", "") for part in parts)
    assert thought.strip() == "Let me see."


def test_a_picture(daemon: LiveDaemon) -> None:
    red = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
    content: Any = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": f"data:image/png;base64,{red}"}]
    assert model(daemon, "starter-vl").invoke([HumanMessage(content)]).text


def test_generation(daemon: LiveDaemon) -> None:
    made = OllamaLLM(model="sentence", base_url=daemon.url)
    assert made.invoke("hi") == TEXTS["sentence"] == "".join(made.stream("hi"))


def test_embeddings(daemon: LiveDaemon) -> None:
    made = OllamaEmbeddings(model="starter-embed", base_url=daemon.url)
    first, second = made.embed_documents(["a cat", "a dog"])
    assert len(first) == len(second) > 10 and first != second
    assert made.embed_query("a cat") == pytest.approx(first, abs=1e-4)


def test_errors(daemon: LiveDaemon) -> None:
    with pytest.raises(ollama.ResponseError, match="not found") as unknown:
        ChatOllama(model="nobody", base_url=daemon.url).invoke("hi")
    assert unknown.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="top_p") as wrong:
        model(daemon, "sentence", top_p=7).invoke("hi")
    assert wrong.value.status_code == 400


def test_a_bad_key(locked: LiveDaemon) -> None:
    def chat(key: str) -> ChatOllama:
        headers = {"headers": {"Authorization": f"Bearer {key}"}}
        return ChatOllama(model="starter", base_url=locked.url, num_predict=4, client_kwargs=headers)

    assert chat(KEY).invoke("hi")
    with pytest.raises(ollama.ResponseError) as refused:
        chat("a-key-that-is-wrong").invoke("hi")
    assert refused.value.status_code == 401
