"""Streamed answers: SSE and NDJSON framing, and ends that a client can distinguish from failures.

`send` waits while the client is behind. When the client disconnects, or does not read for too long, it raises
CancelledError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from sanic import Request
from sanic.response import BaseHTTPResponse

from .error_bodies import note
from .failure import Failure, describe
from .sequences import Item, Sequences

HEAD_SECONDS = 1.0  # a failure before that has its status; afterwards the head is out, and it is a record
PING_SECONDS = 10.0  # without a byte, before an event that says nothing
DONE = b"data: [DONE]\n\n"
SSE = "text/event-stream; charset=utf-8"
NDJSON = "application/x-ndjson"


def noticed(notice: str | None) -> dict[str, str]:
    """The header that tells a client what was changed in its request."""
    return {} if notice is None else {"x-mlx-serve-notice": notice}


@dataclass(frozen=True)
class Heartbeat:
    """What the client of a stream is sent while there is nothing to say, and as what: an event of the dialect's own
    that adds nothing, however often it is sent. Comments will not do: some clients count them as silence."""

    content_type: str
    data: Callable[[], bytes]


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

    @property
    def number(self) -> str:
        """The id of its request."""
        return str(self._request.id)

    async def send(self, data: bytes) -> None:
        await self._response.send(data, end_stream=False)

    @property
    def ready(self) -> bool:
        """Whether `send_now` may be called: the client is there and not behind, and the answer has begun."""
        return bool(cast(Any, self._request.stream).ready)

    def send_now(self, data: bytes) -> None:
        """As `send`, of data that is not empty, without a wait."""
        cast(Any, self._request.stream).send_now(data)

    async def end(self, data: bytes) -> None:
        await self._response.send(data, end_stream=True)

    async def fail(self, record: bytes) -> None:
        """The last record says why, and the body ends as HTTP has it, so that every reader gets to see the record."""
        cast(Any, self._request.stream).ends_with_error()  # the HTTP layer's own
        await self.end(record)


async def relay(
    out: Stream,
    sequences: Sequences,
    frames: Callable[[list[Item]], bytes],
    record: Callable[[Failure], bytes],
    tail: Callable[[], bytes],
    *,
    heartbeat: Heartbeat,
) -> None:
    """Send every batch of events as `frames` writes it, then `tail`; a failure ends the stream with its `record`. The
    `heartbeat` goes where nothing else does. A batch that nothing is in the way of is written where it arrives, without
    a turn of this task."""
    clock = asyncio.get_running_loop().time
    silent_until = clock() + PING_SECONDS

    def written(items: list[Item]) -> bool:
        nonlocal silent_until
        if not out.ready:
            return False
        if data := frames(items):
            out.send_now(data)
            silent_until = clock() + PING_SECONDS
        return True

    try:
        while sequences.running:
            items = await sequences.take(max(0.0, silent_until - clock()), written)
            data = frames(items) if items else b""
            if not data and clock() >= silent_until:
                data = heartbeat.data()
            if data:
                await out.send(data)
                silent_until = clock() + PING_SECONDS
        await out.end(tail())
    except Exception as error:
        note(error, out.number)
        await out.fail(record(describe(error)))
