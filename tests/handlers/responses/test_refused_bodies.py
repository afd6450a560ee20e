"""What /v1/responses refuses: every refusal is a 400 in OpenAI's shape that names the field, and the next one works."""

from __future__ import annotations

import json
import random
from typing import Any

import httpx
import pytest
from fakes.serving import MODEL

from mlx_serve.handlers.responses.bodies import ResponseBody

PATH = "/v1/responses"
USER = {"role": "user", "content": "hi"}
DEEP: Any = json.loads("[" * 300 + "]" * 300)
FUNCTION = {"type": "function", "name": "f"}


async def refused(client: httpx.AsyncClient, content: bytes | dict[str, Any]) -> dict[str, Any]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    response = await client.post(PATH, content=data)
    assert response.status_code == 400, response.text
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error"
    assert (await client.post(PATH, json={"model": MODEL, "input": "hi"})).status_code == 200
    return error


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"input": None}, "input"),
        ({"input": 7}, "input"),
        ({"input": []}, "input"),
        ({"input": [7]}, "input[0]"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{}]}, "input[0].role"),
        ({"input": [USER, {"role": "pirate", "content": "x"}]}, "input[1].role"),
        ({"input": [{"role": "user", "content": 7}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "ftp://x/y"}]}]},
            "input[0].content[0].image_url",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x", "detail": "no"}]}]},
            "input[0].content[0].detail",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0].type",
        ),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        ({"input": [{"type": "unheard_of"}]}, "input[0].type"),
        ({"input": [{"type": 7}]}, "input[0].type"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0].type"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "[]"}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": {"a": 1}}]}, "input[0].output"),
        ({"input": [{"type": "custom_tool_call", "call_id": "c", "name": "p"}]}, "input[0].input"),
        ({"input": [{"type": "reasoning", "summary": "x"}]}, "input[0].summary"),
        ({"input": [{"type": "item_reference"}]}, "input[0].id"),
        ({"input": [{"type": "item_reference", "id": 7}]}, "input[0].id"),
        ({"instructions": ["x"]}, "instructions"),
        ({"previous_response_id": 7}, "previous_response_id"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"max_output_tokens": 2**40}, "max_output_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"tools": {}}, "tools"),
        ({"tools": [7]}, "tools[0]"),
        ({"tools": [FUNCTION | {"parameters": {"a": DEEP}}]}, "tools[0]"),
        ({"tools": [{"type": "web_search", "a": DEEP}]}, "tools[0]"),
        ({"tools": [{"type": "web_search", "a": 2**70}]}, "tools[0]"),
        ({"tool_choice": DEEP}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "web_search"}, "tools": [{"type": "web_search"}]}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f", "x": 2**70}, "tools": [FUNCTION]}, "tool_choice"),
        ({"parallel_tool_calls": "yes"}, "parallel_tool_calls"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": [1]}}}, "text.format.schema"),
        ({"text": {"format": "json"}}, "text.format"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity"),
        ({"text": "json"}, "text"),
        ({"text": {"x": DEEP}}, "text"),
        ({"reasoning": {"effort": "maximal"}}, "reasoning.effort"),
        ({"reasoning": {"effort": 7}}, "reasoning.effort"),
        ({"reasoning": {"summary": "long"}}, "reasoning.summary"),
        ({"reasoning": "high"}, "reasoning"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_obfuscation": 7}}, "stream_options.include_obfuscation"),
        ({"store": 1}, "store"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"include": ["everything"]}, "include[0]"),
        ({"include": "message.output_text.logprobs"}, "include"),
        ({"truncation": "middle"}, "truncation"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"moderation": {"model": "x"}}, "moderation"),
        ({"stop": [""]}, "stop"),
        ({"seed": 2**70}, "seed"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"chat_template_kwargs": {"messages": "x"}}, "chat_template_kwargs.messages"),
    ],
)
async def test_a_field_at_fault_is_named(client: httpx.AsyncClient, more: dict[str, Any], param: str) -> None:
    body = {key: value for key, value in ({"model": MODEL, "input": "hi"} | more).items() if value is not None}
    error = await refused(client, body)
    assert error["param"] == param
    assert param.split("[...]")[0] in error["message"]


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b" ", b"null", b"[]", b'"x"', b'{"model":', b"{} {}", b"\xef\xbb\xbf{}"),
        b'{"model":"acme/parrot","input":"hi","temperature":NaN}',
        b'{"model":"acme/parrot","input":"hi","temperature":1e999}',
        b'{"model":"acme/parrot","input":"\xff"}',
        b'{"model":"acme/parrot","input":[{"role":"user","content":"\xff"}]}',
        b'{"model":"acme/parrot","input":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"acme/parrot","input":[{"role":"user","content":' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
        b'{"model":"acme/parrot","input":[{"type":"web_search_call","x":' + b"[" * 5000 + b"]" * 5000 + b"}]}",
        b'{"model":"acme/parrot","input":"hi","tools":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
async def test_bytes_that_are_no_body(client: httpx.AsyncClient, content: bytes) -> None:
    await refused(client, content)


async def test_models_that_cannot(client: httpx.AsyncClient) -> None:
    """Of another kind, or not there."""
    response = await client.post(PATH, json={"model": "acme/vectors", "input": "hi"})
    assert response.status_code == 400 and "does not support chat" in response.text
    response = await client.post(PATH, json={"model": "nobody/none", "input": "hi"})
    assert response.status_code == 404 and response.json()["error"]["code"] == "model_not_found"


_WORDS = ("auto", "function", "message", "custom", "namespace", "user", "reasoning", "item_reference", "x", "")
_KEYS = ("type", "role", "content", "text", "name", "tools", "id", "output", "call_id", "arguments", "format", "input")
_FIELDS = [field for field in ResponseBody.__struct_fields__ if field not in ("model", "keep_alive")]


def anything(chance: random.Random, depth: int = 0) -> Any:
    """A value that JSON can have, more often one that looks like what the API takes."""
    kind = chance.randrange(8 if depth < 4 else 6)
    if kind == 7:
        return [anything(chance, depth + 1) for _ in range(chance.randrange(3))]
    if kind == 6:
        return {chance.choice(_KEYS): anything(chance, depth + 1) for _ in range(chance.randrange(4))}
    return (None, True, chance.choice((0, 1, -1, 2**31, 2**64, 10**30)), 1.5, *(chance.choice(_WORDS),) * 2)[kind]


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_is_sent_is_no_fault_of_the_server(client: httpx.AsyncClient, seed: int) -> None:
    """Anything at all in any field, a hundred times: an answer, or a refusal that names something."""
    chance = random.Random(seed)
    for _ in range(100):
        fields = {chance.choice(_FIELDS): anything(chance) for _ in range(chance.randrange(1, 4))}
        response = await client.post(PATH, json={"model": MODEL, "input": "hi"} | fields)
        assert response.status_code in (200, 400, 404), (fields, response.text)
        if response.status_code != 200:
            assert response.json()["error"]["param"], (fields, response.text)
