"""The events of work that was handed to a runner, or to a leased model, as an iterator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from mlx_serve.daemon.protocol import Event, Work


class Queue:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Event | Exception] = asyncio.Queue()

    def put(self, event: Event) -> None:
        self.events.put_nowait(event)

    def flush(self) -> None:
        """Every event is taken by itself."""

    def fail(self, error: Exception) -> None:
        self.events.put_nowait(error)


async def events_of(target: Any, work: Work) -> AsyncGenerator[Event]:
    """Until the last event; raises what ended it. Closing the iterator cancels."""
    queue = Queue()
    number = target.submit(work, queue)
    try:
        while True:
            event = await queue.events.get()
            if isinstance(event, Exception):
                raise event
            yield event
            if event.last:
                return
    finally:
        target.cancel(number)
