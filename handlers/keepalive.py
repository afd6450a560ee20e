"""Keep-alives for clients of a stream that waits for its model or its turn: through a pull, a long load, a queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sanic import Request

from . import stream
from .stream import Heartbeat, Stream


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
        stream.HEAD_SECONDS, lambda: ticking.append(asyncio.create_task(_tick(request, heartbeat)))
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
        await asyncio.sleep(stream.PING_SECONDS)
        await out.send(heartbeat.data())
