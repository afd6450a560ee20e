"""A client of a stream that waits for a model, through a pull or a long load, hears now and then that it is alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sanic import Request

from . import stream
from .stream import Stream


@dataclass(frozen=True)
class Sign:
    """What such a client is sent, and as what: it must read over `data`, however often it comes."""

    content_type: str
    data: Callable[[], bytes]


COMMENTS = Sign(stream.SSE, lambda: stream.PING)


@asynccontextmanager
async def kept_alive(request: Request, sign: Sign | None) -> AsyncIterator[None]:
    """While the block lasts, a sign now and then; the first one takes the answer's head along.

    Before that a failure still has its status; afterwards it is the last record. None: the client just waits.
    """
    if sign is None:
        yield
        return
    ticking: list[asyncio.Task[None]] = []
    timer = asyncio.get_running_loop().call_later(
        stream.PING_SECONDS, lambda: ticking.append(asyncio.create_task(_tick(request, sign)))
    )
    try:
        yield
    finally:
        timer.cancel()
        for task in ticking:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # the client is gone, and the request with it


async def _tick(request: Request, sign: Sign) -> None:
    out = await Stream.open(request, sign.content_type)
    while True:
        await out.send(sign.data())
        await asyncio.sleep(stream.PING_SECONDS)
