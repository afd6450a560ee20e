"""What SIGHUP means: to a daemon, reload; to one in a terminal that has closed, stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable
from typing import Any


class HangUp:
    """Made while the terminal, if any, is still there at one of the `descriptors`."""

    def __init__(
        self,
        stop: Callable[[], None],
        reload: Callable[[], Coroutine[Any, Any, None]],
        descriptors: Iterable[int] = range(3),
    ) -> None:
        self._stop = stop
        self._reload = reload
        self._terminals = [descriptor for descriptor in descriptors if os.isatty(descriptor)]
        self._running: set[asyncio.Task[None]] = set()

    def received(self) -> None:
        if any(not os.isatty(descriptor) for descriptor in self._terminals):
            self._stop()
            return
        task = asyncio.get_running_loop().create_task(self._reload())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
