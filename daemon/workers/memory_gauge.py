"""What a child and the processes that it started hold, measured on a thread: it takes the system milliseconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from .. import process_memory

FRESH_SECONDS = 1.0


class MemoryGauge:
    """`read` takes a pid and gives bytes; it is called on a thread, one call at a time."""

    def __init__(self, pid: int, read: Callable[[int], int] = process_memory.family) -> None:
        self._pid = pid
        self._read = read
        self._value = 0
        self._begun = float("-inf")
        self._measuring: asyncio.Task[None] | None = None

    @property
    def value(self) -> int:
        """Bytes, as last measured. One that is older than FRESH_SECONDS is measured anew for the next who asks."""
        if self._measuring is None and self._begun < time.monotonic() - FRESH_SECONDS:
            self._measuring = asyncio.get_running_loop().create_task(self._measure())
        return self._value

    async def measure(self, seconds: float = 0.0) -> int:
        """Bytes, from a measurement that began at most so many seconds ago."""
        wanted = time.monotonic() - seconds
        while self._begun < wanted:
            if self._measuring is None:
                self._measuring = asyncio.get_running_loop().create_task(self._measure())
            await asyncio.shield(self._measuring)
        return self._value

    async def _measure(self) -> None:
        begun = time.monotonic()
        try:
            self._value = await asyncio.to_thread(self._read, self._pid)
            self._begun = begun
        finally:
            self._measuring = None
