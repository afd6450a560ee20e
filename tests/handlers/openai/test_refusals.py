"""What /v1 refuses: every refusal is a 400 in OpenAI's shape that names the field, and the next request works."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import msgspec
import pytest
from fakes.serving import MODEL, Serving

from mlx_serve.daemon import errors
from mlx_serve.daemon.protocol import Accepted
from mlx_serve.store.errors import (
    AccessDenied,
    AmbiguousName,
    HubUnreachable,
    RateLimited,
    RepositoryNotFound,
    WrongContent,
)

CHAT = "/v1/chat/completions"
GOOD = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}


async def refused(client: httpx.AsyncClient, path: str, content: bytes, status: int = 400) -> dict[str, Any]:
    response = await client.post(path, content=content)
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/json")
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert "Traceback" not in error["message"] and len(error["message"]) <= 500
    return error


BODIES = {
    "nothing": b"",
    "blanks": b"  ",
    "null": b"null",
    "array": b"[]",
    "text": b'"x"',
    "cut": b'{"model":',
    "trailing": b"{} {}",
    "bom": b"\xef\xbb\xbf{}",
    "nan": b'{"model":"m","messages":[],"temperature":NaN}',
    "infinity": b'{"model":"m","messages":[],"temperature":1e999}',
    "not utf-8": b'{"model":"\xff","messages":[]}',
    "surrogate": b'{"model":"\\ud800","messages":[]}',
    "deep": b'{"model":"m","messages":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "control character": b'{"model":"a\x01","messages":[]}',
}


@pytest.mark.parametrize("content", BODIES.values(), ids=BODIES.keys())
async def test_bad_bodies(client: httpx.AsyncClient, content: bytes) -> None:
    await refused(client, CHAT, content)
    assert (await client.post(CHAT, json=GOOD)).status_code == 200


FIELDS: list[tuple[str, Any, str]] = [
    ("model", "", "model"),
    ("model", 5, "model"),
    ("model", "a b", "model"),
    ("messages", [], "messages"),
    ("messages", "hi", "messages"),
    ("messages", [{"role": "king", "content": "x"}], "messages[0].role"),
    ("messages", [{"content": "x"}], "messages[0].role"),
    ("messages", [{"role": "user"}], "messages[0].content"),
    ("messages", [{"role": "user", "content": 5}], "messages[0].content"),
    ("messages", [{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
    (
        "messages",
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        "messages[0].content[0].image_url.url",
    ),
    ("messages", [{"role": "user", "content": [{"type": "input_audio"}]}], "messages[0].content[0].type"),
    (
        "messages",
        [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}],
        "messages[0].tool_calls[0].function.arguments",
    ),
    ("messages", [{"role": "assistant", "content": "x", "function_call": {"name": "f"}}], "messages[0].function_call"),
    ("n", 0, "n"),
    ("n", 129, "n"),
    ("n", True, "n"),
    ("n", 10**400, "n"),
    ("max_tokens", 0, "max_tokens"),
    ("max_tokens", -1, "max_tokens"),
    ("max_tokens", "5", "max_tokens"),
    ("temperature", 2.1, "temperature"),
    ("temperature", -0.1, "temperature"),
    ("temperature", True, "temperature"),
    ("top_p", 0, "top_p"),
    ("top_p", 1.5, "top_p"),
    ("top_k", -2, "top_k"),
    ("top_k", 2**31, "top_k"),
    ("min_p", -1, "min_p"),
    ("repetition_penalty", 0, "repetition_penalty"),
    ("frequency_penalty", 3, "frequency_penalty"),
    ("presence_penalty", -3, "presence_penalty"),
    ("seed", 2**64, "seed"),
    ("seed", 1.5, "seed"),
    ("stop", "", "stop"),
    ("stop", [""], "stop"),
    ("stop", [5], "stop[0]"),
    ("stop", ["x"] * 17, "stop"),
    ("stop", "x" * 1025, "stop"),
    ("logit_bias", {"a": 1}, "logit_bias"),
    ("logit_bias", {"-1": 1}, "logit_bias"),
    ("logit_bias", {"99999999999": 1}, "logit_bias"),
    ("logit_bias", {"1": 101}, "logit_bias[...]"),
    ("logit_bias", {str(i): 1 for i in range(1025)}, "logit_bias"),
    ("top_logprobs", 3, "top_logprobs"),
    ("top_logprobs", 21, "top_logprobs"),
    ("stream_options", {"include_usage": True}, "stream_options"),
    ("response_format", {"type": "xml"}, "response_format.type"),
    ("response_format", {"type": "json_schema"}, "response_format.json_schema"),
    ("response_format", {"type": "json_schema", "json_schema": {"name": "x"}}, "response_format.json_schema.schema"),
    (
        "response_format",
        {"type": "json_schema", "json_schema": {"schema": {"required": ["x"] * 50_000}}},
        "response_format.json_schema.schema",
    ),
    ("tools", [{"type": "custom"}], "tools[0].type"),
    ("tools", [{"type": "function"}], "tools[0].function"),
    ("tools", [{"type": "function", "function": {"name": "a b"}}], "tools[0].function.name"),
    (
        "tools",
        [{"type": "function", "function": {"name": "f", "parameters": {"maximum": 10**30}}}],
        "tools[0].function",
    ),
    (
        "messages",
        [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": json.dumps({"x": 10**30})}}]}],
        "messages[0].tool_calls[0].function.arguments",
    ),
    ("tool_choice", "required", "tool_choice"),
    ("tool_choice", {"type": "function", "function": {"name": "f"}}, "tool_choice"),
    ("tool_choice", "any", "tool_choice"),
    ("reasoning_effort", "extreme", "reasoning_effort"),
    ("chat_template_kwargs", {"tokenize": True}, "chat_template_kwargs.tokenize"),
    ("chat_template_kwargs", {"enable_thinking": "yes"}, "chat_template_kwargs.enable_thinking"),
    ("chat_template_kwargs", {"x": {"y": 1}}, "chat_template_kwargs.x"),
    ("chat_template_kwargs", {"__class__": 1}, "chat_template_kwargs.__class__"),
    ("chat_template", "{{ 1 }}", "chat_template"),
    ("continue_final_message", True, "continue_final_message"),
    ("audio", {"voice": "x"}, "audio"),
    ("modalities", ["text", "audio"], "modalities"),
    ("functions", [{"name": "f"}], "functions"),
    ("function_call", "auto", "function_call"),
    ("web_search_options", {"a": 1}, "web_search_options"),
    ("prompt_logprobs", 5, "prompt_logprobs"),
    ("keep_alive", "300", "keep_alive"),
    ("keep_alive", True, "keep_alive"),
]


@pytest.mark.parametrize(("field", "value", "param"), FIELDS, ids=[f"{f}-{i}" for i, (f, _, _) in enumerate(FIELDS)])
async def test_fields(serving: Serving, client: httpx.AsyncClient, field: str, value: Any, param: str) -> None:
    error = await refused(client, CHAT, json.dumps(GOOD | {field: value}).encode())
    assert error["param"] == param and error["type"] == "invalid_request_error"
    assert serving.engine.requests == [] and serving.residency.leases == 0


async def test_missing_field_is_named(client: httpx.AsyncClient) -> None:
    assert (await refused(client, CHAT, b'{"messages":[]}'))["param"] == "model"
    assert (await refused(client, CHAT, b'{"model":"m"}'))["param"] == "messages"


async def test_null_is_absent(client: httpx.AsyncClient) -> None:
    """Clients send null for what they leave out."""
    nulls = dict.fromkeys(
        (
            "n",
            "stop",
            "seed",
            "tools",
            "audio",
            "functions",
            "stream_options",
            "response_format",
            "temperature",
            "logit_bias",
        )
    )
    assert (await client.post(CHAT, json=GOOD | nulls)).status_code == 200


async def test_unknown_model(client: httpx.AsyncClient) -> None:
    error = await refused(client, CHAT, json.dumps(GOOD | {"model": "acme/none"}).encode(), 404)
    assert error["code"] == "model_not_found" and error["param"] == "model" and "not found" in error["message"]


async def test_model_of_another_kind(serving: Serving, client: httpx.AsyncClient) -> None:
    """An embedding model in a chat is refused before it is loaded, and the right endpoints are named."""
    error = await refused(client, CHAT, json.dumps(GOOD | {"model": "acme/vectors"}).encode())
    instead = "it is an embedding model, for /v1/embeddings or /api/embed"
    assert error["message"] == f'"acme/vectors" does not support chat: {instead}'
    assert serving.residency.keep_alive == []


async def test_what_the_model_cannot(serving: Serving, client: httpx.AsyncClient) -> None:
    """Tools and thinking are refused by name where the model has neither, and no model is loaded for it; nor does it
    help that the listings say so where the engine cannot."""
    serving.store.add(MODEL, capabilities=("completion",))
    tool = {"type": "function", "function": {"name": "f"}}
    assert (await refused(client, CHAT, json.dumps(GOOD | {"tools": [tool]}).encode()))["param"] == "tools"
    assert (await refused(client, CHAT, json.dumps(GOOD | {"reasoning_effort": "low"}).encode()))[
        "param"
    ] == "reasoning_effort"
    assert serving.residency.loaded == []
    assert (await client.post(CHAT, json=GOOD | {"reasoning_effort": "none"})).status_code == 200
    serving.store.add(MODEL, capabilities=("completion", "tools"))
    serving.residency.info = msgspec.structs.replace(serving.residency.info, capabilities=("completion",))
    assert (await refused(client, CHAT, json.dumps(GOOD | {"tools": [tool]}).encode()))["param"] == "tools"


FAILURES: list[tuple[Exception, int, str | None]] = [
    (errors.QueueFull(7), 503, "queue_full"),
    (errors.Draining(), 503, "shutting_down"),
    (errors.LoadError("m", "bad /home/me/secret/config.json"), 500, "model_load_failed"),
    (errors.LoadError("m", "dies on load", retry_after=30), 503, "model_load_failed"),
    (errors.Quarantined("m", "it died", retry_after=600), 503, "model_quarantined"),
    (errors.UnsupportedByModel("m", "no"), 400, "unsupported_model"),
    (errors.InsufficientMemory("needs 5 GB, has 2 GB"), 503, "insufficient_memory"),
    (errors.RunnerDied("m", "signal 9"), 500, "model_process_ended"),
    (errors.RequestRejected("context_length_exceeded", "too long", "messages"), 400, "context_length_exceeded"),
    (errors.RequestRejected("numerical_error", "NaN"), 500, "numerical_error"),
    (AmbiguousName("m", ["a/m", "b/m"]), 400, "ambiguous_model_name"),
    (RepositoryNotFound("the hub has no model a/b"), 404, "repository_not_found"),
    (AccessDenied("gated", hint="accept the terms"), 403, "access_denied"),
    (RateLimited("slow down", until=time.time() + 30), 429, "rate_limited"),
    (HubUnreachable("no answer"), 503, "hub_unreachable"),
    (WrongContent("model.safetensors is not what the hub says"), 502, "hub_error"),
    (RuntimeError("secret /home/me"), 500, "internal_error"),
]


@pytest.mark.parametrize(
    ("failure", "status", "code"), FAILURES, ids=[type(f).__name__ + str(s) for f, s, _ in FAILURES]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_failures_have_their_status(
    serving: Serving, client: httpx.AsyncClient, failure: Exception, status: int, code: str, stream: bool
) -> None:
    """Whatever fails before the first event has a real status even when streaming, in both dialects, without paths."""
    serving.residency.failure = failure
    response = await client.post(CHAT, json=GOOD | {"stream": stream})
    error = response.json()["error"]
    assert response.status_code == status and error["code"] == code
    assert "/home" not in response.text
    waits = isinstance(failure, errors.Draining) or getattr(failure, "retry_after", None) is not None
    assert ("retry-after" in response.headers) == waits
    ollama = await client.post("/api/chat", json=GOOD | {"stream": stream})
    assert ollama.status_code == status and ollama.json() == {"error": error["message"]}


async def test_rejection_by_the_engine_has_a_status(serving: Serving, client: httpx.AsyncClient) -> None:
    """The engine's refusal comes before the head of the answer; n choices do not change that."""
    serving.engine.script = lambda request: [errors.RequestRejected("context_length_exceeded", "9 > 5", "messages")]
    for n in (1, 3):
        response = await client.post(CHAT, json=GOOD | {"stream": True, "n": n})
        assert response.status_code == 400 and response.json()["error"]["param"] == "messages"
    assert serving.engine.open == 0


async def test_an_engine_that_says_nothing_more(serving: Serving, client: httpx.AsyncClient) -> None:
    """A choice without an end is an error, not a short answer."""
    serving.engine.script = lambda _: [Accepted(id=1, prompt_tokens=7, last=True)]
    assert (await client.post(CHAT, json=GOOD)).status_code == 500
