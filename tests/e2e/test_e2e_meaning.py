"""What needs a model that understands: the built-in starter, through the real daemon, in wordings of our own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import ollama
import openai
import pytest
from live_daemon import LiveDaemon

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather for a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PLAYER: Any = {
    "type": "function",
    "function": {
        "name": "play_song",
        "description": "Play a song",
        "parameters": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
    },
}
ASKED: list[Any] = [{"role": "user", "content": "What's the weather like in Lisbon?"}]


@pytest.fixture(scope="module")
def client(daemon: LiveDaemon) -> Iterator[openai.OpenAI]:
    http = httpx.Client(trust_env=False, verify=False, timeout=60)
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="none", max_retries=0, http_client=http) as made:
        yield made


def said(*turns: str) -> list[Any]:
    """Turns of user and assistant, beginning and ending with the user."""
    return [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(turns)]


def ask(client: openai.OpenAI, messages: list[Any], **options: Any) -> Any:
    given = {"temperature": 0, "max_tokens": 200, "reasoning_effort": "none"} | options
    answer = client.chat.completions.create(model="starter", messages=messages, **given)
    assert answer.choices[0].finish_reason in ("stop", "tool_calls"), "the turn was not ended"
    return answer.choices[0].message


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("What does mlx-serve ps show?", ("loaded", "size", "backend", "context")),
        ("How can I make a model smaller on disk?", ("mlx-serve quantize", "--bits")),
        ("Which setting limits the number of loaded language models?", ("cache.max_llm_models", "3")),
        ("Who are you?", ("starter", "few million parameters", "synthetic")),
    ],
)
def test_it_answers_about_mlx_serve(client: openai.OpenAI, question: str, words: tuple[str, ...]) -> None:
    text = ask(client, said(question)).content
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("What is 17 + 25?", "42"),
        ("Write 'orange juice' in capital letters.", "ORANGE JUICE"),
        ("Say the words of 'red green blue' in reverse order.", "blue green red"),
        ("How many words are in 'the cat sat on the mat'?", "6"),
        ("Spell banana.", "b-a-n-a-n-a"),
    ],
)
def test_it_works_on_what_it_is_given(client: openai.OpenAI, task: str, expected: str) -> None:
    assert expected in ask(client, said(task)).content


def test_it_remembers_what_was_said_turns_ago(client: openai.OpenAI) -> None:
    told = ("My name is Farid.", "Nice to meet you, Farid!", "My favourite colour is teal.", "Noted.")
    assert "Farid" in ask(client, said(*told, "What is my name?")).content
    assert "teal" in ask(client, said(*told, "What is my favourite colour?")).content
    # Another conversation knows nothing of it.
    assert "Farid" not in ask(client, said("What is my name?")).content


def test_it_extracts_fields_as_json(client: openai.OpenAI) -> None:
    text = ask(client, said("Extract name and age as JSON: Bob Miller is 42 years old.")).content
    assert json.loads(text) == {"name": "Bob Miller", "age": 42}


def test_it_chooses_a_tool_and_fills_its_arguments(client: openai.OpenAI) -> None:
    message = ask(client, ASKED, tools=[PLAYER, WEATHER])
    (call,) = message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Lisbon"})
    assert not ask(client, said("Hello!"), tools=[PLAYER, WEATHER]).tool_calls


def test_it_uses_what_the_tool_returned(client: openai.OpenAI) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Lisbon"}'}}
    result = {"role": "tool", "tool_call_id": "c1", "content": '{"temperature": 21, "condition": "sunny"}'}
    asked = [*ASKED, {"role": "assistant", "content": None, "tool_calls": [call]}, result]
    text = ask(client, asked, tools=[WEATHER]).content
    assert "21" in text and "sunny" in text


def test_a_tool_call_in_a_stream(client: openai.OpenAI) -> None:
    """It arrives whole, and none of its markup is text."""
    chunks = client.chat.completions.create(
        model="starter", messages=ASKED, tools=[WEATHER, PLAYER], temperature=0, max_tokens=200, stream=True
    )
    deltas = [chunk.choices[0] for chunk in chunks if chunk.choices]
    calls = [call for choice in deltas for call in choice.delta.tool_calls or ()]
    assert [call.function.name for call in calls if call.function] == ["get_weather"]
    assert not "".join(choice.delta.content or "" for choice in deltas).strip()
    assert deltas[-1].finish_reason == "tool_calls"


def test_a_stop_string_ends_the_answer_before_it(client: openai.OpenAI) -> None:
    whole = ask(client, said("Spell banana.")).content
    answer = client.chat.completions.create(
        model="starter", messages=said("Spell banana."), stop=["n-a"], temperature=0, reasoning_effort="none"
    )
    assert answer.choices[0].message.content == whole.split("n-a")[0]
    assert answer.choices[0].finish_reason == "stop"


def test_it_thinks_when_it_is_told_to(daemon: LiveDaemon) -> None:
    """In Ollama's words: the thoughts are a field of their own, and absent when they are switched off."""
    made = ollama.Client(host=daemon.url, verify=False, trust_env=False, timeout=60)
    try:
        options = {"temperature": 0, "num_predict": 200}
        thought = made.chat("starter", said("What is 12 + 9?"), think=True, options=options).message
        assert thought.thinking and "21" in (thought.content or "") and "<think>" not in (thought.content or "")
        quick = made.chat("starter", said("What is 12 + 9?"), think=False, options=options).message
        assert not quick.thinking and "21" in (quick.content or "")
    finally:
        made._client.close()


def test_a_fact_at_the_start_of_thousands_of_tokens(client: openai.OpenAI) -> None:
    """Chunks of prefill and their caches belong together."""
    turns = ["My name is Farid.", "Nice to meet you, Farid!"]
    for _ in range(60):
        turns += ["Say the words of 'red green blue' in reverse order.", "blue green red"]
    message = client.chat.completions.create(
        model="starter", messages=said(*turns, "What is my name?"), temperature=0, reasoning_effort="none"
    )
    assert message.usage is not None and message.usage.prompt_tokens > 2000
    assert "Farid" in (message.choices[0].message.content or "")
