"""Streamed answers: SSE and NDJSON framing, ends that a client can distinguish from failures, and keep-alives through a
pull, a long load, a queue.

`send` waits while the client is behind. When the client disconnects, or does not read for too long, it raises
CancelledError.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

from sanic import Request
from sanic.response import BaseHTTPResponse

from .error_bodies import note
from .failure import Failure, describe
from .items import Item
from .sequences import Sequences

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


class Outlet(Protocol):
    """The HTTP layer's own: while the client is there and not behind it is `open`, and gives the write of what is not
    empty."""

    @property
    def open(self) -> bool: ...
    def prepared(self, data: bytes) -> Callable[[], None]: ...


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

    def outlet(self) -> Outlet | None:
        """For what is sent without a wait, once the head is; None where there is no such way."""
        return cast("Outlet | None", cast(Any, self._request.stream).outlet())

    async def end(self, data: bytes) -> None:
        await self._response.send(data, end_stream=True)

    async def fail(self, record: bytes) -> None:
        """The last record says why, and the body ends as HTTP has it, so that every reader gets to see the record."""
        cast(Any, self._request.stream).ends_with_error()  # the HTTP layer's own
        await self.end(record)


@asynccontextmanager
async def kept_alive(request: Request, heartbeat: Heartbeat | None) -> AsyncIterator[None]:
    """While the block lasts: the answer's head after HEAD_SECONDS, then `data` every PING_SECONDS.

    Before the head a failure has its status; afterwards it is the last record. None: send nothing.
    """
    if heartbeat is None:
        yield
        return
    ticking: list[asyncio.Task[None]] = []
    timer = asyncio.get_running_loop().call_later(
        HEAD_SECONDS, lambda: ticking.append(asyncio.create_task(_tick(request, heartbeat)))
    )
    try:
        yield
    finally:
        timer.cancel()
        for task in ticking:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # the client has disconnected


async def _tick(request: Request, heartbeat: Heartbeat) -> None:
    begun = Stream.of(request) is not None
    out = await Stream.open(request, heartbeat.content_type)
    if not begun:
        await out.send(b"")
    while True:
        await asyncio.sleep(PING_SECONDS)
        await out.send(heartbeat.data())


class Shortcut:
    """From a stream's events to its client while nothing is in the way, without a turn of its task: what comes is
    written where it arrives. `written_at`, in the loop's time, is when something last was."""

    __slots__ = ("_frames", "_loop", "_outlet", "written_at")

    def __init__(self, outlet: Outlet, frames: Callable[[list[Item]], bytes]) -> None:
        self._outlet = outlet
        self._frames = frames
        self._loop = asyncio.get_running_loop()
        self.written_at = 0.0

    def prepare(self, items: list[Item]) -> Callable[[], None] | None:
        """The write of these; None when they are not taken. Raises what `frames` raises."""
        if not self._outlet.open:
            return None
        data = self._frames(items)
        if not data:
            return _write_nothing
        self.written_at = self._loop.time()
        return self._outlet.prepared(data)


def _write_nothing() -> None:
    """Of items that are no bytes."""


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
    outlet = out.outlet()
    shortcut = None if outlet is None else Shortcut(outlet, frames)
    spoken_at = clock()
    try:
        while sequences.running:
            items = await sequences.take(max(0.0, spoken_at + PING_SECONDS - clock()), shortcut)
            data = frames(items) if items else b""
            if shortcut is not None:
                spoken_at = max(spoken_at, shortcut.written_at)
            if not data and clock() >= spoken_at + PING_SECONDS:
                data = heartbeat.data()
            if data:
                await out.send(data)
                spoken_at = clock()
        await out.end(tail())
    except Exception as error:
        note(error, out.number)
        await out.fail(record(describe(error)))
