"""Who waits for a streamed response is told so in events of the API's own, and then gets it, or its failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from fakes.engine import finished
from fakes.serving import MODEL, Serving, raw
from support.responses_wire import events, kinds
from support.waiting import GUARD, soon

from mlx_serve.daemon.errors import RequestRejected
from mlx_serve.daemon.protocol import Accepted, Delta, ToolCall
from mlx_serve.handlers import stream as streams
from mlx_serve.store.errors import AccessDenied

PATH = "/v1/responses"
BODY: dict[str, Any] = {"model": MODEL, "input": "hi", "stream": True, "tools": [{"type": "custom", "name": "patch"}]}


@pytest.fixture
async def loading(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Serving]:
    """A daemon whose model comes only when the test says so, and that gives a sign every few milliseconds."""
    monkeypatch.setattr(streams, "PING_SECONDS", 0.005)
    monkeypatch.setattr(streams, "HEAD_SECONDS", 0.005)
    serving.residency.hold_load = asyncio.Event()
    yield serving
    serving.residency.hold_load.set()


def content(sent: bytes) -> list[dict[str, Any]]:
    """The events of a chunked answer's bytes, all of them."""
    lines = sent.split(b"\r\n\r\n", 1)[-1].decode().split("\r\n")
    return events("".join(line for line in lines if line.startswith("event")))


async def test_a_load_is_told_and_then_the_answer_comes(loading: Serving) -> None:
    """Created once, in progress as often as need be, numbered on; no comment."""
    reader, writer = await raw(loading, PATH, BODY)
    head = await soon(reader.readuntil(b"response.created"))
    assert head.startswith(b"HTTP/1.1 200") and b"text/event-stream" in head
    for _ in range(3):
        head += await soon(reader.readuntil(b'"type":"response.in_progress"'))
    assert loading.residency.hold_load is not None
    loading.residency.hold_load.set()
    found = content(head + await soon(reader.readuntil(b"\r\n0\r\n\r\n")))
    writer.close()
    told = kinds(found)
    assert told[0] == "created" and told.count("created") == 1 and told.count("in_progress") >= 3
    assert told[-1] == "completed"


async def test_a_load_that_fails_is_a_failed_response(loading: Serving) -> None:
    """After the head: an error and a failed response, and HTTP's own end."""
    reader, writer = await raw(loading, PATH, BODY)
    sent = await soon(reader.readuntil(b"response.created"))
    loading.residency.late_failure = AccessDenied("acme/gated is gated", hint="accept its terms")
    assert loading.residency.hold_load is not None
    loading.residency.hold_load.set()
    sent += await soon(reader.readuntil(b"\r\n0\r\n\r\n"))
    writer.close()
    assert sent.endswith(b"0\r\n\r\n")
    error, failed = content(sent)[-2:]
    assert (error["type"], failed["type"]) == ("error", "response.failed")
    assert failed["response"]["error"]["message"] == "acme/gated is gated; accept its terms"


async def test_a_prompt_that_proves_too_long_after_the_head(loading: Serving) -> None:
    """Its code is the one that Codex looks for, and it names our field."""
    refusal = RequestRejected("context_length_exceeded", "'messages' has too many tokens", "messages")
    loading.engine.script = lambda request: [refusal]
    reader, writer = await raw(loading, PATH, BODY)
    sent = await soon(reader.readuntil(b"response.created"))
    assert loading.residency.hold_load is not None
    loading.residency.hold_load.set()
    sent += await soon(reader.readuntil(b"\r\n0\r\n\r\n"))
    writer.close()
    error = content(sent)[-1]["response"]["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input")


async def test_a_prefill_and_a_call_that_shows_late_are_told(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first token, and while a custom tool's text is on its way."""
    monkeypatch.setattr(streams, "PING_SECONDS", 0.005)
    serving.engine.hold, serving.engine.hold_at = asyncio.Event(), 1
    parts = [ToolCall("patch", '{"input": "a', 0), ToolCall("", 'b"}', 0)]
    calls = [Delta(id=1, tool_calls=(part,)) for part in parts]
    serving.engine.script = lambda request: [Accepted(id=1, prompt_tokens=7), *calls, finished("tool_calls")]
    reader, writer = await raw(serving, PATH, BODY)
    sent = b""
    for _ in range(4):
        sent += await soon(reader.readuntil(b'"type":"response.in_progress"'))
    serving.engine.pause = 0.1
    serving.engine.hold.set()
    sent += await soon(reader.readuntil(b"\r\n0\r\n\r\n"))
    writer.close()
    told = kinds(content(sent))
    assert "in_progress" in told[told.index("output_item.added") :]
    assert told[-1] == "completed"


@pytest.mark.parametrize("stream", [True, False])
async def test_closing_the_connection_cancels(serving: Serving, stream: bool) -> None:
    serving.engine.hold = asyncio.Event()
    reader, writer = await raw(serving, PATH, BODY | {"stream": stream})
    await soon(serving.engine.opened.get())
    if stream:
        await soon(reader.readuntil(b"output_text.delta"))
    writer.transport.abort()
    assert await asyncio.to_thread(serving.engine.cut.wait, GUARD)
    await serving.left()
