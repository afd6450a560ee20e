"""The sink of work that is answered with one event."""

from __future__ import annotations

import asyncio

from .. import protocol


class LastEvent:
    """`event` is done with the one after which nothing follows, or with what came instead."""

    def __init__(self) -> None:
        self.event: asyncio.Future[protocol.Event] = asyncio.get_running_loop().create_future()

    def put(self, event: protocol.Event) -> None:
        if event.last and not self.event.done():
            self.event.set_result(event)

    def flush(self) -> None:
        """Nothing is left to do."""

    def fail(self, error: Exception) -> None:
        if not self.event.done():
            self.event.set_exception(error)
