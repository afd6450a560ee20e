"""Keep-alives for clients of a stream while it waits for a model, through a pull or a long load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sanic import Request

from . import stream
from .stream import Stream


@dataclass(frozen=True)
class Heartbeat:
    """What such a client is sent, and as what; clients must ignore `data`, however often it is sent."""

    content_type: str
    data: Callable[[], bytes]


COMMENTS = Heartbeat(stream.SSE, lambda: stream.PING)


@asynccontextmanager
async def kept_alive(request: Request, heartbeat: Heartbeat | None) -> AsyncIterator[None]:
    """While the block lasts, send `data` every PING_SECONDS; the first one sends the answer's head too.

    Before that a failure has its status; afterwards it is the last record. None: send nothing.
    """
    if heartbeat is None:
        yield
        return
    ticking: list[asyncio.Task[None]] = []
    timer = asyncio.get_running_loop().call_later(
        stream.PING_SECONDS, lambda: ticking.append(asyncio.create_task(_tick(request, heartbeat)))
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
    out = await Stream.open(request, heartbeat.content_type)
    while True:
        await out.send(heartbeat.data())
        await asyncio.sleep(stream.PING_SECONDS)
