"""Waiting for conditions in asyncio tests; the limit only ends a hang."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

GUARD = 60.0  # seconds until a wait counts as a hang, on a machine that is busy with other things too
T = TypeVar("T")


async def settle() -> None:
    """Let everything that can run now run, other threads' results included."""
    for _ in range(5):
        await asyncio.to_thread(int)
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(GUARD):
        while not condition():
            await settle()


async def soon(awaitable: Awaitable[T]) -> T:
    return await asyncio.wait_for(awaitable, GUARD)
