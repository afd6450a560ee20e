"""Every field of every endpoint under /api with values of the wrong type, too large, too deep and not UTF-8."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest
from fakes.serving import MODEL, Serving

from mlx_serve.handlers.ollama import bodies, create, embed

QUESTION = [{"role": "user", "content": "hi"}]
BODIES: dict[str, tuple[type[msgspec.Struct], dict[str, Any]]] = {
    "/api/chat": (bodies.ChatBody, {"model": MODEL, "messages": QUESTION}),
    "/api/generate": (bodies.GenerateBody, {"model": MODEL, "prompt": "hi"}),
    "/api/embed": (embed.EmbedBody, {"model": "vectors", "input": "hi"}),
    "/api/embeddings": (embed.EmbeddingsBody, {"model": "vectors", "prompt": "hi"}),
    "/api/show": (bodies.Show, {"model": MODEL}),
    "/api/pull": (bodies.Transfer, {"model": "starter"}),
    "/api/push": (bodies.Transfer, {"model": MODEL}),
    "/api/copy": (bodies.Copy, {"source": MODEL, "destination": "b"}),
    "/api/delete": (bodies.Named, {"model": MODEL}),
    "/api/create": (create.Create, {"model": "b", "from": MODEL}),
}
DEEP = "[" * 300 + "]" * 300
WRONG = ("1", '"x\\u0000"', "true", "[1]", '{"a":[null]}', "1e999", "-1", "123456789012345678901234567890", DEEP, "NaN")
FIELDS = [(path, field.encode_name) for path, (body, _) in BODIES.items() for field in msgspec.structs.fields(body)]


async def send(client: httpx.AsyncClient, path: str, content: bytes) -> httpx.Response:
    return await client.request("DELETE" if path == "/api/delete" else "POST", path, content=content)


@pytest.mark.parametrize(("path", "field"), FIELDS)
async def test_wrong_values(serving: Serving, client: httpx.AsyncClient, path: str, field: str) -> None:
    """Taken, or refused in Ollama's shape: never an error of the server's. What cannot be the type of the field is
    refused by a sentence with the field's name or, where it is no JSON, with the place."""
    good = BODIES[path][1]
    for value in WRONG:
        body = json.dumps(good | {field: "@"}).replace('"@"', value)
        answer = await send(client, path, body.encode())
        assert answer.status_code < 500, (value, answer.text)
        if answer.status_code >= 400:
            assert list(answer.json()) == ["error"] and isinstance(answer.json()["error"], str), value
    text = json.dumps(good | {field: "@"}).encode().replace(b'"@"', b'"\xff\xfe"')
    refused = await send(client, path, text)
    said = refused.json()["error"]
    assert refused.status_code == 400 and ("UTF-8" in said or field in said), said


@pytest.mark.parametrize(("path", "field"), [each for each in FIELDS if each[1] not in ("format", "input")])
async def test_a_refusal_of_a_type_names_the_field(client: httpx.AsyncClient, path: str, field: str) -> None:
    """A list of a list is no value of any of them. `keep_alive` is refused in Go's words, which name the type."""
    answer = await send(client, path, json.dumps(BODIES[path][1] | {field: [[{"a": 1}]]}).encode())
    assert answer.status_code == 400, answer.text
    name = "Unsupported type" if field == "keep_alive" else field
    assert name in answer.json()["error"], answer.text
