"""Streamed answers: SSE and NDJSON framing, and ends that a client can distinguish from failures.

`send` waits while the client is behind. When the client disconnects, or does not read for too long, it raises
CancelledError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from sanic import Request
from sanic.response import BaseHTTPResponse

from .error_bodies import note
from .failure import Failure, describe
from .sequences import Item, Sequences

PING_SECONDS = 10.0
PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"
SSE = "text/event-stream; charset=utf-8"
NDJSON = "application/x-ndjson"


def noticed(notice: str | None) -> dict[str, str]:
    """The header that tells a client what was changed in its request."""
    return {} if notice is None else {"x-mlx-serve-notice": notice}


class Stream:
    """One answer that has begun. After `end` or `fail` nothing more can be sent."""

    def __init__(self, request: Request, response: BaseHTTPResponse) -> None:
        self._request = request
        self._response = response

    @classmethod
    async def open(cls, request: Request, content_type: str, notice: str | None = None) -> Stream:
        """The head is sent with the first bytes, which may be empty. An answer that has begun is continued, without
        the `notice`."""
        opened = cls.of(request)
        if opened is None:
            headers = {"x-accel-buffering": "no"} | noticed(notice)
            opened = request.ctx.stream = cls(
                request, await request.respond(content_type=content_type, headers=headers)
            )
        return opened

    @staticmethod
    def of(request: Request) -> Stream | None:
        """The answer that has begun already."""
        opened: Stream | None = getattr(request.ctx, "stream", None)
        return opened

    async def send(self, data: bytes) -> None:
        await self._response.send(data, end_stream=False)

    async def end(self, data: bytes) -> None:
        await self._response.send(data, end_stream=True)

    async def fail(self, record: bytes) -> None:
        """The last record says why. HTTP's own end does not follow, so that clients that parse no records fail too."""
        await self.send(record)
        break_off(self._request)


def break_off(request: Request) -> None:
    """Close the connection in the middle of an answer, after what has been written so far."""
    cast(Any, request.stream).fail()  # the HTTP layer's own
    if request.transport is not None:
        request.transport.close()


async def relay(
    out: Stream,
    sequences: Sequences,
    frames: Callable[[list[Item]], bytes],
    record: Callable[[Failure], bytes],
    tail: Callable[[], bytes],
    *,
    pings: bool,
) -> None:
    """Send every batch of events as `frames` writes it, then `tail`; a failure ends the stream with its `record`."""
    seconds: float | None = PING_SECONDS if pings else None
    try:
        while sequences.running:
            items = await sequences.take(seconds)
            if not items:
                await out.send(PING)
                continue
            seconds = None
            if data := frames(items):
                await out.send(data)
        await out.end(tail())
    except Exception as error:
        note(error)
        await out.fail(record(describe(error)))
