"""`tool_choice`, `strict` and `parallel_tool_calls`, through the real daemon and OpenAI's gpt."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from jsonschema import Draft202012Validator
from support.extent import extent

WEATHER: Any = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "unit": {"enum": ["celsius", "fahrenheit"]},
    },
    "required": ["city", "unit"],
}
SCHEMAS: Any = {"get_weather": WEATHER, "get_time": {"type": "object", "properties": {}, "additionalProperties": False}}
TOOLS: Any = [
    {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "get_time"}},
]
PLAIN: Any = {"chat_template_kwargs": {"enable_thinking": False}}
HELLO: Any = [{"role": "user", "content": "Hello, who are you?"}]


def ask(gpt: openai.OpenAI, messages: Any = HELLO, **options: Any) -> Any:
    given = {"model": "starter", "tools": TOOLS, "temperature": 0, "max_tokens": 200, "extra_body": PLAIN} | options
    return gpt.chat.completions.create(messages=messages, **given)


def valid(call: Any) -> None:
    Draft202012Validator(SCHEMAS[call.function.name]).validate(json.loads(call.function.arguments))


def test_a_call_where_the_model_would_talk(gpt: openai.OpenAI) -> None:
    """Greeted, it answers; told that a call is required, or which one, it calls."""
    assert ask(gpt).choices[0].message.content
    for choice, name in (
        ("required", None),
        ({"type": "function", "function": {"name": "get_time"}}, "get_time"),
        ({"type": "function", "function": {"name": "get_weather"}}, "get_weather"),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "get_weather"}}],
                },
            },
            "get_weather",
        ),
    ):
        answer = ask(gpt, tool_choice=choice).choices[0]
        assert answer.finish_reason == "tool_calls" and not answer.message.content
        assert name in (None, answer.message.tool_calls[0].function.name)
        for call in answer.message.tool_calls:
            valid(call)


def test_hot_calls_are_valid_every_time(gpt: openai.OpenAI) -> None:
    """Twenty choices or sixty at temperature 2: each is one valid call, or was cut before its end."""
    choices = [
        choice
        for seed in range(extent(1, 3))
        for choice in ask(
            gpt, tool_choice="required", parallel_tool_calls=False, temperature=2, n=20, seed=100 * seed
        ).choices
    ]
    called = [choice for choice in choices if choice.finish_reason != "length"]
    assert len(called) > extent(16, 50)
    for choice in called:
        (call,) = choice.message.tool_calls
        assert not choice.message.content
        valid(call)


def test_streamed(gpt: openai.OpenAI) -> None:
    """A forced call arrives in OpenAI's chunks."""
    names, arguments = [], ""
    for chunk in ask(gpt, tool_choice="required", parallel_tool_calls=False, stream=True):
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            names += [call.function.name] if call.function.name else []
            arguments += call.function.arguments or ""
    assert len(names) == 1 and names[0] in SCHEMAS
    assert isinstance(json.loads(arguments), dict)


def test_thoughts_before_a_forced_call(gpt: openai.OpenAI) -> None:
    """The model may think first; then it calls."""
    asked = [{"role": "user", "content": "What is 58 + 27?"}]
    message = ask(gpt, asked, tool_choice="required", extra_body={}, max_tokens=300).choices[0].message
    assert message.tool_calls and not message.content
    valid(message.tool_calls[0])


def test_strict_tools_keep_their_schemas(gpt: openai.OpenAI) -> None:
    """Free to answer or to call; at temperature 2, whatever is called is valid."""
    strict: Any = json.loads(json.dumps(TOOLS))
    strict[0]["function"]["strict"] = True
    asked = [{"role": "user", "content": "Tell me the weather in Tokyo in celsius"}]
    called = 0
    for choice in ask(gpt, asked, tools=strict, temperature=1.2, n=20, seed=7).choices:
        for call in choice.message.tool_calls or []:
            valid(call)
            called += 1
    assert called > 5
    assert ask(gpt, tools=strict).choices[0].message.content


def test_a_strict_schema_that_cannot_be_kept(gpt: openai.OpenAI) -> None:
    """Is refused by its place; without `strict` the call is forced all the same."""
    odd: Any = {"type": "object", "properties": {"a": {"not": {"type": "string"}}}, "required": ["a"]}
    function: Any = {"name": "odd", "parameters": odd, "strict": True}
    with pytest.raises(openai.BadRequestError) as caught:
        ask(gpt, tools=[TOOLS[1], {"type": "function", "function": function}])
    assert caught.value.param == "tools[1].function.parameters" and "not" in str(caught.value)
    del function["strict"]
    answer = ask(gpt, tools=[{"type": "function", "function": function}], tool_choice="required").choices[0]
    assert answer.message.tool_calls[0].function.name == "odd"


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ("any", "use 'auto'"),
        ({"type": "function", "function": {"name": "nobody"}}, "'tools' has no function 'nobody'"),
        ({"type": "function"}, "must name a function"),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "maybe", "tools": []}}, "auto or required"),
        (7, "use 'auto'"),
    ],
)
def test_choices_that_are_none(gpt: openai.OpenAI, choice: Any, why: str) -> None:
    with pytest.raises(openai.BadRequestError, match=why) as caught:
        ask(gpt, tool_choice=choice)
    assert caught.value.param == "tool_choice"
