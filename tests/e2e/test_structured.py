"""Answers in a shape that the client asks for, through the real daemon and the official clients."""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import ollama
import openai
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from support.live_daemon import LiveDaemon
from support.random_schemas import random_schema

SCHEMAS = int(os.environ.get("MLX_SERVE_TEST_SCHEMAS", "150"))
"""Thousands, for a long run of `test_random_schemas_at_temperature_2`."""


class Person(BaseModel):
    name: str
    age: int
    role: Literal["guest", "admin"]
    tags: list[str] = []


class Reading(BaseModel):
    kind: Literal["number", "word"]
    person: Person | None


QUESTION = 'Extract name and age as JSON: "Maria is 31 years old and lives in Berlin."'
ASKED: Any = [{"role": "user", "content": QUESTION}]
PLAIN: Any = {"chat_template_kwargs": {"enable_thinking": False}}


def test_parse_gives_objects(gpt: openai.OpenAI) -> None:
    """OpenAI's `parse` with pydantic: whole, and streamed, with the values that the model means."""
    options: Any = {
        "model": "starter",
        "messages": ASKED,
        "response_format": Person,
        "temperature": 0,
        "max_tokens": 200,
    }
    whole = gpt.chat.completions.parse(**options, extra_body=PLAIN).choices[0]
    assert whole.finish_reason == "stop"
    assert whole.message.parsed is not None
    assert (whole.message.parsed.name, whole.message.parsed.age) == ("Maria", 31)
    with gpt.chat.completions.stream(**options, extra_body=PLAIN) as stream:
        for _ in stream:
            pass
        streamed = stream.get_final_completion().choices[0]
    assert streamed.message.content == whole.message.content


def test_any_object(gpt: openai.OpenAI, llama: ollama.Client) -> None:
    """json_object, and Ollama's "json"."""
    answer = gpt.chat.completions.create(
        model="starter",
        messages=ASKED,
        response_format={"type": "json_object"},
        temperature=0,
        max_tokens=200,
        extra_body=PLAIN,
    )
    assert json.loads(answer.choices[0].message.content or "") == {"name": "Maria", "age": 31}
    options = {"temperature": 0, "num_predict": 200}
    said = llama.chat(model="starter", messages=ASKED, format="json", options=options, think=False)
    assert json.loads(said.message.content or "") == {"name": "Maria", "age": 31}
    raw = llama.generate(
        model="llama", prompt="x", format="json", options={"temperature": 2, "seed": 3, "num_predict": 400}
    )
    assert raw.response.startswith("{")
    assert raw.done_reason == "length" or isinstance(json.loads(raw.response), dict)


def test_ollamas_schema(llama: ollama.Client) -> None:
    """Streamed too."""
    options = {"temperature": 0, "num_predict": 200}
    schema = Person.model_json_schema()
    whole = llama.chat(model="starter", messages=ASKED, format=schema, options=options, think=False)
    assert Person.model_validate_json(whole.message.content or "").name == "Maria"
    parts = llama.chat(model="starter", messages=ASKED, format=schema, options=options, think=False, stream=True)
    assert "".join(part.message.content or "" for part in parts) == whole.message.content


def test_thoughts_come_before_the_answer_and_are_free(gpt: openai.OpenAI, llama: ollama.Client) -> None:
    """The schema binds what follows the thinking, in both dialects."""
    asked: Any = [{"role": "user", "content": "What is 58 + 27?"}]
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
    message: Any = (
        gpt.chat.completions.create(
            model="starter",
            messages=asked,
            response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
            temperature=0,
            max_tokens=300,
        )
        .choices[0]
        .message
    )
    assert "8 + 7 = 15" in message.reasoning_content
    assert isinstance(json.loads(message.content)["sum"], int)
    options = {"temperature": 0, "num_predict": 300}
    said = llama.chat(model="starter", messages=asked, format=schema, options=options, think=True)
    assert "8 + 7 = 15" in (said.message.thinking or "")
    assert isinstance(json.loads(said.message.content or "")["sum"], int)


def test_a_marker_in_the_answer_is_text(gpt: openai.OpenAI) -> None:
    """A constant that looks like thinking or like a call arrives as it is."""
    constant = {"a": "<think>no</think> <tool_call>x</tool_call>"}
    answer = gpt.chat.completions.create(
        model="starter",
        messages=ASKED,
        response_format={"type": "json_schema", "json_schema": {"name": "c", "schema": {"const": constant}}},
        max_tokens=200,
        extra_body=PLAIN,
    )
    assert json.loads(answer.choices[0].message.content or "") == constant


TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def test_with_tools_an_answer_or_a_call(gpt: openai.OpenAI) -> None:
    """The starter calls when the question is the tool's; hot and random, every choice is one of both."""
    asked: Any = [{"role": "user", "content": "Tell me the weather in Tokyo"}]
    form: Any = {"type": "json_schema", "json_schema": {"name": "p", "schema": Person.model_json_schema()}}
    options: Any = {
        "model": "starter",
        "tools": [TOOL],
        "response_format": form,
        "extra_body": PLAIN,
        "max_tokens": 200,
    }
    called = gpt.chat.completions.create(messages=asked, temperature=0, **options).choices[0]
    assert called.finish_reason == "tool_calls" and called.message.tool_calls
    assert json.loads(called.message.tool_calls[0].function.arguments) == {"city": "Tokyo"}
    answered = gpt.chat.completions.create(messages=ASKED, temperature=0, **options).choices[0]
    assert answered.finish_reason == "stop" and Person.model_validate_json(answered.message.content or "")


@pytest.mark.parametrize("endpoint", ["/v1/chat/completions", "/v1/completions"])
def test_vllms_spellings(daemon: LiveDaemon, endpoint: str) -> None:
    """A regular expression, one of several texts, a schema and a grammar, from a model that says anything."""
    asked: dict[str, Any] = {"messages": ASKED} if "chat" in endpoint else {"prompt": "x"}
    schema = {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3}
    ipv4 = r"((25[0-5]|2[0-4]\d|1?\d?\d)(\.|$)){4}".replace(r"(\.|$)", r"\.") + "x"
    fits: dict[str, Any] = {
        "regex": (ipv4, lambda text: re.fullmatch(ipv4, text)),
        "choice": (["red", "dark blue", "é"], lambda text: text in ("red", "dark blue", "é")),
        "json": (schema, lambda text: 1 <= len(json.loads(text)) <= 3),
        "grammar": ('root ::= "a"{2,3} [0-9]', lambda text: re.fullmatch("a{2,3}[0-9]", text)),
    }
    for kind, (value, check) in fits.items():
        spelled = [{f"guided_{kind}": value}, {"structured_outputs": {kind: value}}]
        spelled += [{kind: value}] if kind in ("regex", "choice") else []
        spelled += [{"guided_json": json.dumps(value)}] if kind == "json" else []
        for fields in spelled:
            more = {"model": "llama", "temperature": 2, "max_tokens": 200, "n": 3, **asked, **fields}
            answer = daemon.post(endpoint, **more)
            assert answer.status == 200, answer.text
            for choice in answer.json["choices"]:
                text = choice["message"]["content"] if "chat" in endpoint else choice["text"]
                assert choice["finish_reason"] == "stop" and check(text), (fields, text)


def test_stop_strings_end_a_bound_answer(daemon: LiveDaemon) -> None:
    """Before the grammar does."""
    body = {
        "model": "llama",
        "prompt": "x",
        "regex": "abc[0-9]{50}xyz",
        "max_tokens": 100,
        "stop": ["xy"],
        "logprobs": 2,
    }
    choice = daemon.post("/v1/completions", **body).json["choices"][0]
    assert choice["finish_reason"] == "stop" and re.fullmatch("abc[0-9]{50}", choice["text"])
    assert len(choice["logprobs"]["tokens"]) >= 53
    body["max_tokens"] = 10
    choice = daemon.post("/v1/completions", **body).json["choices"][0]
    assert choice["finish_reason"] == "length" and re.fullmatch("abc[0-9]{1,7}", choice["text"])


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"guided_regex": "("}, "guided_regex", "unclosed group"),
    ({"guided_regex": ""}, "guided_regex", "empty"),
    ({"guided_choice": []}, "guided_choice", "at least one text"),
    ({"guided_json": {"type": "bogus"}}, "guided_json", "bogus"),
    ({"structured_outputs": {"json": {"not": {}}}}, "structured_outputs.json", "not"),
    ({"guided_grammar": "start: nothing"}, "guided_grammar", "nothing"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"pattern": "(?=a)"}}}},
        "response_format.json_schema.schema",
        "look-around",
    ),
    ({"regex": "a", "guided_choice": ["b"]}, "regex", "'guided_choice' says already"),
    (
        {"response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a"}},
        "structured_outputs.regex",
        "one",
    ),
]


@pytest.mark.parametrize(("fields", "param", "why"), REFUSED)
def test_what_is_refused(daemon: LiveDaemon, fields: dict[str, Any], param: str, why: str) -> None:
    """A 400 that names the field and has the compiler's reason."""
    answer = daemon.chat("llama", "x", **fields)
    error = answer.json["error"]
    assert (answer.status, error["param"]) == (400, param), answer.text
    assert why in error["message"] and "\n" not in error["message"]


def test_ollama_names_its_field(daemon: LiveDaemon) -> None:
    answer = daemon.post("/api/chat", model="llama", messages=ASKED, format={"type": "object", "minProperties": -1})
    assert answer.status == 400 and "'format'" in answer.json["error"]


def test_random_schemas_at_temperature_2(daemon: LiveDaemon) -> None:
    """A model of random weights, eight at a time: whatever ends by itself is valid by another implementation."""
    chance = random.Random(12)
    schemas = [random_schema(chance) for _ in range(SCHEMAS)]

    def answered(schema: dict[str, Any]) -> bool:
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
        answer = daemon.chat("llama", "x", response_format=form, temperature=2, max_tokens=150)
        assert answer.status == 200, (schema, answer.text)
        choice = answer.json["choices"][0]
        if choice["finish_reason"] == "length":
            return False
        assert choice["finish_reason"] == "stop"
        Draft202012Validator(schema).validate(json.loads(choice["message"]["content"]))
        return True

    with ThreadPoolExecutor(8) as threads:
        ended = sum(threads.map(answered, schemas))
    assert ended > SCHEMAS // 2


def test_log_probabilities_beside_thoughts_and_shapes(gpt: openai.OpenAI) -> None:
    """The tokens of `content` are the content to the letter, streamed too; those of the thought are listed apart."""
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
    options: Any = {
        "model": "starter",
        "messages": [{"role": "user", "content": "What is 8 + 7?"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
        "tools": [TOOL],
        "temperature": 0,
        "max_tokens": 300,
        "logprobs": True,
        "top_logprobs": 2,
    }
    answer = gpt.chat.completions.create(**options)
    choice: Any = answer.choices[0]
    listed = choice.logprobs
    assert "".join(token.token for token in listed.content) == choice.message.content
    thought = "".join(token["token"] for token in listed.reasoning_content)
    assert choice.message.reasoning_content.strip() in thought
    assert all(len(token.top_logprobs) == 2 for token in listed.content)
    details: Any = answer.usage
    assert details.completion_tokens_details.reasoning_tokens <= len(listed.reasoning_content)
    text, tokens = "", ""
    for chunk in gpt.chat.completions.create(stream=True, **options):
        for part in chunk.choices:
            text += part.delta.content or ""
            tokens += "".join(token.token for token in (part.logprobs and part.logprobs.content) or [])
            assert text.startswith(tokens) or tokens.startswith(text)
    assert text == tokens == choice.message.content


def test_what_json_schemas_suite_has_and_grammars_have_not(daemon: LiveDaemon) -> None:
    """Each schema of the suite is answered, or is a 400 with the field and a reason; none hangs and none is a 500."""
    suite = Path(__file__).parents[1] / "daemon" / "engine" / "grammar" / "draft2020-12.jsonl"
    schemas = [json.loads(line)["schema"] for line in suite.read_text(encoding="utf-8").splitlines()]

    def status(schema: Any) -> int:
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
        answer = daemon.chat("llama", "x", response_format=form, max_tokens=1)
        if answer.status == 400:
            error = answer.json["error"]
            assert error["param"] == "response_format.json_schema.schema" and len(error["message"]) > 60
        return answer.status

    with ThreadPoolExecutor(4) as threads:
        counted = Counter(threads.map(status, schemas))
    assert counted == {200: 183, 400: 183}
