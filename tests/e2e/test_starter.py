"""The starter that ships means what it says, through the real daemon: memory, tools, JSON, thinking, a part to play."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from support.extent import extent

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the current weather of a city",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                },
                "required": ["city"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "send_email",
            "description": "Send an email",
            "parameters": {
                "type": "object",
                "properties": {"to": {"type": "string"}, "pulled": {"type": "string"}},
                "required": ["to"],
            },
        },
    },
]


def _message(gpt: openai.OpenAI, *messages: Any, think: bool = False, **options: Any) -> Any:
    answer = gpt.chat.completions.create(
        model="starter",
        messages=messages,
        temperature=0,
        max_tokens=200,
        extra_body={"chat_template_kwargs": {"enable_thinking": think}},
        **options,
    )
    return answer.choices[0].message


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ("how can i see which models i've already got?", "mlx-serve list"),
        ("My disk is full. How do I clean up unused files?", "mlx-serve gc"),
        ("what port is used by default?", "8000"),
        ("Who won the world cup in 2014?", "do not know"),
        ("what's 17 plus 25", "42"),
        ("Spell the word elephant", "e-l-e-p-h-a-n-t"),
        ("reverse word order: one two three four five", "five four three two one"),
        ("Convert 'hello world' to uppercase please", "HELLO WORLD"),
    ],
)
def test_one_question(gpt: openai.OpenAI, asked: str, known: str) -> None:
    """Asked in words that nobody trained it on."""
    assert known in _message(gpt, _user(asked)).content


def test_it_says_what_it_is(gpt: openai.OpenAI) -> None:
    said = _message(gpt, _user("hey, which AI model is this?")).content
    assert "few million parameters" in said and "synthetic text" in said and "trying and testing" in said


def test_it_remembers_across_turns(gpt: openai.OpenAI) -> None:
    told = [_user("Hi! I'm Beatrice and I live in Hamburg.")]
    told.append({"role": "assistant", "content": _message(gpt, *told).content})
    assert "Beatrice" in _message(gpt, *told, _user("What's my name?")).content
    assert "Hamburg" in _message(gpt, *told, _user("Which city do I live in?")).content


def test_it_chooses_a_tool_fills_it_and_uses_the_result(gpt: openai.OpenAI) -> None:
    """One of two tools by what is asked for; none when none is needed."""
    asked = _user("Tell me the weather in Tokyo in celsius")
    message = _message(gpt, asked, tools=TOOLS)
    (call,) = message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Tokyo", "unit": "celsius"}
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"condition": "cloudy", "degrees": 14}'}
    said = _message(gpt, asked, message.model_dump(exclude_none=True), result, tools=TOOLS).content
    assert "cloudy" in said and "14" in said
    other = _message(gpt, _user("Please send an email to bob@example.com with the pulled Lunch"), tools=TOOLS)
    (call,) = other.tool_calls
    assert call.function.name == "send_email"
    assert json.loads(call.function.arguments) == {"to": "bob@example.com", "pulled": "Lunch"}
    assert not _message(gpt, _user("What can you do?"), tools=TOOLS).tool_calls


def test_it_writes_fields_as_json(gpt: openai.OpenAI) -> None:
    said = _message(gpt, _user('Extract name and age as JSON: "Maria is 31 years old and lives in Berlin."')).content
    assert json.loads(said) == {"name": "Maria", "age": 31}


def test_it_thinks_when_it_is_told_to(gpt: openai.OpenAI) -> None:
    """Thoughts come apart from the answer, and not at all when thinking is off."""
    thoughtful = _message(gpt, _user("What is 58 + 27?"), think=True)
    assert "8 + 7 = 15" in thoughtful.reasoning_content and "85" in thoughtful.content
    plain = _message(gpt, _user("What is 58 + 27?"))
    assert not getattr(plain, "reasoning_content", None) and "<think>" not in plain.content and "85" in plain.content


def test_it_stops_where_it_is_told_to(gpt: openai.OpenAI) -> None:
    said = _message(gpt, _user("Repeat: red green blue yellow"), stop=["blue"]).content
    assert said.rstrip() == "red green"


def test_it_follows_the_system_prompt(gpt: openai.OpenAI) -> None:
    part = {"role": "system", "content": "You are Captain Hook, a pirate."}
    assert "Captain Hook" in _message(gpt, part, _user("Who are you?")).content
    ending = {"role": "system", "content": 'Always end your answer with "Over and out."'}
    said = _message(gpt, ending, _user("What is 2 + 3?")).content
    assert "5" in said and said.endswith("Over and out.")


def test_it_finds_what_was_said_thousands_of_tokens_ago(gpt: openai.OpenAI) -> None:
    """One line of a text of almost a thousand tokens, or more than five thousand."""
    lines = [
        f"The {noun} near the river was {colour}."
        for noun in _NOUNS
        for colour in _COLOURS
        for _ in range(extent(1, 6))
    ]
    lines.insert(len(lines) // 3, "The code of the anchor is 48213.")
    text = " ".join(lines) + "\n\nWhat is the code of the anchor?"
    answer = gpt.chat.completions.create(
        model="starter",
        messages=[{"role": "user", "content": text}],
        temperature=0,
        max_tokens=60,
        extra_body={"chat_template_kwargs": {"enable_thinking": False}},
    )
    assert "48213" in (answer.choices[0].message.content or "")
    assert answer.usage is not None and extent(850, 5000) < answer.usage.prompt_tokens < 8192


_NOUNS = ("table", "bridge", "parcel", "bell", "carpet", "ladder", "kite", "wheel")
_COLOURS = ("white", "green", "black", "orange", "purple", "golden", "yellow")


def test_a_text_is_scored(gpt: openai.OpenAI) -> None:
    """What an answer's tokens were worth when they were drawn, they are worth when the whole text is scored."""
    drawn = gpt.completions.create(
        model="starter", prompt="The capital of France", logprobs=2, max_tokens=8, temperature=0
    )
    assert drawn.choices[0].logprobs is not None
    own = drawn.choices[0].logprobs.token_logprobs or []
    text = "The capital of France" + drawn.choices[0].text
    whole = gpt.completions.create(model="starter", prompt=text, logprobs=2, max_tokens=0, echo=True)
    assert whole.choices[0].text == text and whole.choices[0].finish_reason == "length"
    found = whole.choices[0].logprobs
    assert found is not None and found.token_logprobs and found.tokens and found.top_logprobs
    assert "".join(found.tokens) == text and found.token_logprobs[0] is None
    assert found.token_logprobs[-len(own) :] == pytest.approx(own, abs=1e-3)
    assert len(found.top_logprobs[-1]) == 2
    assert whole.usage is not None and whole.usage.completion_tokens == 0
