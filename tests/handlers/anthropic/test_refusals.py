"""What /v1/messages and count_tokens refuse, each in Anthropic's shape and naming the field; and their other errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.serving import MODEL, Serving, daemon

from mlx_serve.daemon import errors
from mlx_serve.store.errors import RateLimited

MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
GOOD: Any = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


def error(response: httpx.Response, status: int, kind: str) -> str:
    """The sentence; everything around it is as Anthropic's clients expect it."""
    assert response.status_code == status, response.text
    document = response.json()
    assert set(document) == {"type", "error", "request_id"} and document["type"] == "error"
    assert document["request_id"] == response.headers["request-id"]
    assert set(document["error"]) == {"type", "message"} and document["error"]["type"] == kind
    message: str = document["error"]["message"]
    assert message and "Traceback" not in message
    return message


OF_BOTH: list[tuple[str, Any, str]] = [
    ("model", "", "model"),
    ("model", 5, "model"),
    ("messages", [], "messages"),
    ("messages", "hi", "messages"),
    ("messages", [{"role": "king", "content": "x"}], "messages[0].role"),
    ("messages", [{"content": "x"}], "messages[0].role"),
    ("messages", [{"role": "user"}], "messages[0].content"),
    ("messages", [{"role": "user", "content": 5}], "messages[0].content"),
    ("messages", [{"role": "user", "content": [{"text": "x"}]}], "messages[0].content[0].type"),
    ("messages", [{"role": "user", "content": [{"type": "text", "text": 5}]}], "messages[0].content[0].text"),
    ("system", 5, "system"),
    ("tools", "x", "tools"),
    ("tools", [{"name": 5}], "tools[0].name"),
    ("tools", [{"name": "a", "input_schema": "x"}], "tools[0].input_schema"),
    ("tool_choice", "auto", "tool_choice"),
    ("tool_choice", {"type": "maybe"}, "tool_choice.type"),
    ("thinking", {"type": "enabled"}, "thinking.budget_tokens"),
    ("thinking", {"type": "enabled", "budget_tokens": 0}, "thinking.budget_tokens"),
    ("thinking", {"type": "enabled", "budget_tokens": "x"}, "thinking.budget_tokens"),
    ("thinking", {"type": "sometimes"}, "thinking.type"),
    ("output_config", {"effort": "extreme"}, "output_config.effort"),
    ("output_config", {"format": {"type": "xml"}}, "output_config.format.type"),
    ("output_config", {"format": {"type": "json_schema"}}, "output_config.format.schema"),
    ("output_format", {"type": "json_schema", "schema": []}, "output_format.schema"),
    ("mcp_servers", [{"name": "x"}], "mcp_servers"),
    ("container", "x", "container"),
]
OF_MESSAGES: list[tuple[str, Any, str]] = [
    ("max_tokens", 0, "max_tokens"),
    ("max_tokens", -1, "max_tokens"),
    ("max_tokens", "9", "max_tokens"),
    ("max_tokens", 1.5, "max_tokens"),
    ("max_tokens", 10**400, "max_tokens"),
    ("stream", "yes", "stream"),
    ("temperature", 1.1, "temperature"),
    ("temperature", -0.1, "temperature"),
    ("temperature", True, "temperature"),
    ("top_p", 0, "top_p"),
    ("top_p", 1.1, "top_p"),
    ("top_k", -1, "top_k"),
    ("top_k", 2**31, "top_k"),
    ("stop_sequences", "x", "stop_sequences"),
    ("stop_sequences", [""], "stop_sequences"),
    ("stop_sequences", ["x"] * 17, "stop_sequences"),
]
CASES = [(path, *case) for path in (MESSAGES, COUNT) for case in OF_BOTH] + [(MESSAGES, *case) for case in OF_MESSAGES]


@pytest.mark.parametrize(("path", "field", "value", "param"), CASES)
async def test_fields(
    serving: Serving, client: httpx.AsyncClient, path: str, field: str, value: Any, param: str
) -> None:
    response = await client.post(path, content=json.dumps(GOOD | {field: value}))
    assert f"'{param}'" in error(response, 400, "invalid_request_error")
    assert serving.engine.requests == [] and serving.residency.tokenizers.asked == []


@pytest.mark.parametrize("path", [MESSAGES, COUNT])
async def test_bodies(client: httpx.AsyncClient, path: str) -> None:
    """Missing fields, no JSON, no UTF-8, and what is nested without end."""
    for field in ("model", "messages", *(["max_tokens"] if path == MESSAGES else [])):
        left = {name: value for name, value in GOOD.items() if name != field}
        assert f"'{field}'" in error(await client.post(path, json=left), 400, "invalid_request_error")
    deep = json.dumps(GOOD)[:-1].encode() + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    nan = json.dumps(GOOD)[:-1].encode() + b',"temperature":NaN}'
    for content in (b"", b"null", b"[]", b"{", b'{"model":"\xff"}', deep, nan):
        error(await client.post(path, content=content), 400, "invalid_request_error")
    assert (await client.post(path, json=GOOD)).status_code == 200


@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (errors.QueueFull(7), 503, "overloaded_error"),
        (errors.Draining(), 503, "overloaded_error"),
        (errors.LoadError("m", "bad"), 500, "api_error"),
        (RateLimited("slow down", until=0), 429, "rate_limit_error"),
        (TimeoutError(), 504, "timeout_error"),
        (RuntimeError("secret /home/me"), 500, "api_error"),
    ],
)
async def test_failures(
    serving: Serving, client: httpx.AsyncClient, failure: Exception, status: int, kind: str
) -> None:
    serving.residency.failure = failure
    for path in (MESSAGES, COUNT):
        assert "/home" not in error(await client.post(path, json=GOOD), status, kind)


async def test_a_picture_for_a_model_that_cannot_see(client: httpx.AsyncClient) -> None:
    """Names the field, as every refusal does."""
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    sent = GOOD | {"messages": [{"role": "user", "content": [image]}]}
    for path in (MESSAGES, COUNT):
        message = error(await client.post(path, json=sent), 400, "invalid_request_error")
        assert message.startswith("messages[0].content[0].source.url: ") and "does not support vision" in message


async def test_what_is_not_there(client: httpx.AsyncClient) -> None:
    """Models, endpoints and methods; and a model of another kind."""
    for path in (MESSAGES, COUNT):
        unknown = await client.post(path, json=GOOD | {"model": "acme/none"})
        assert "acme/none" in error(unknown, 404, "not_found_error")
        error(await client.get(path), 405, "invalid_request_error")
        other = await client.post(path, json=GOOD | {"model": "acme/vectors"})
        assert "does not support chat" in error(other, 400, "invalid_request_error")
    error(await client.post("/v1/messages/batches", json={}), 404, "not_found_error")


async def test_too_large(tmp_path: Path) -> None:
    async with daemon(tmp_path, max_body_mb=1) as serving, httpx.AsyncClient(base_url=serving.url) as client:
        large = GOOD | {"system": "x" * (1 << 20)}
        error(await client.post(MESSAGES, json=large), 413, "request_too_large")


async def test_keys(tmp_path: Path) -> None:
    """Either header will do; without one, and with a wrong one, the refusal is in Anthropic's shape."""
    options: Any = {"api_keys": ("right",), "require_keys": "always"}
    async with daemon(tmp_path, **options) as serving, httpx.AsyncClient(base_url=serving.url) as client:
        for headers in ({"x-api-key": "right"}, {"authorization": "Bearer right"}):
            assert (await client.post(MESSAGES, json=GOOD, headers=headers)).status_code == 200
            assert (await client.get("/v1/models", headers=headers)).status_code == 200
        for wrong in ({}, {"x-api-key": "wrong"}):
            error(await client.post(MESSAGES, json=GOOD, headers=wrong), 401, "authentication_error")
        listed = await client.get("/v1/models", headers={"anthropic-version": "2023-06-01"})
        error(listed, 401, "authentication_error")
        error(await client.post(MESSAGES, json=GOOD, headers={"host": "evil.example"}), 403, "permission_error")
