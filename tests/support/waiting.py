"""Waiting for conditions; the limit only ends a hang."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mlx_serve.daemon import store_threads

GUARD = 60.0  # seconds until a wait counts as a hang, on a machine that is busy with other things too
T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, seconds: float = GUARD) -> T:
    """The condition's first true value, for what happens in other threads and processes. AssertionError when it does
    not come."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for: {what}")
        time.sleep(0.01)
    return value


async def settle() -> None:
    """Let everything that can run now run, other threads' results included."""
    for _ in range(10):
        await asyncio.gather(asyncio.to_thread(int), store_threads.look(int), store_threads.work(int))
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(GUARD):
        while not condition():
            await settle()


async def soon(awaitable: Awaitable[T]) -> T:
    return await asyncio.wait_for(awaitable, GUARD)
