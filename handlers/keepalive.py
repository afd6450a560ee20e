"""A client of a stream that waits for a model, through a pull or a long load, sees that somebody is still there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sanic import Request

from . import stream
from .stream import Stream


@dataclass(frozen=True)
class Signs:
    """What such a client is sent, and as what: it must read over `sign`, however often it comes."""

    content_type: str
    sign: Callable[[], bytes]


COMMENTS = Signs(stream.SSE, lambda: stream.PING)


@asynccontextmanager
async def company(request: Request, signs: Signs | None) -> AsyncIterator[None]:
    """While the block lasts, a sign now and then; the first one takes the answer's head along.

    Before that a failure still has its status; afterwards it is the last record. None: the client just waits.
    """
    if signs is None:
        yield
        return
    ticking: list[asyncio.Task[None]] = []
    timer = asyncio.get_running_loop().call_later(
        stream.PING_SECONDS, lambda: ticking.append(asyncio.create_task(_tick(request, signs)))
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


async def _tick(request: Request, signs: Signs) -> None:
    out = await Stream.open(request, signs.content_type)
    while True:
        await out.send(signs.sign())
        await asyncio.sleep(stream.PING_SECONDS)
