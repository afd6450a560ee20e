"""When Python's collector of cycles runs in a model's process: at rest, and never in a thread that comes by.

By itself it runs in whichever thread has just made an object, and a full pass looks at all that was imported: 70 ms in
which no stream goes on. It also takes arrays apart that MLX may be computing with, for MLX lets go of the
interpreter meanwhile. Requests leave no cycles behind, so there is next to nothing to find.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

YOUNG = 10_000
"""Objects since the last pass, less those that went: more are looked at between two steps, which takes 2 ms."""

_OLDER, _ALL = 8, 64
"""Every so many such passes look at those that came through the one before, and at everything."""


class Collector:
    """Made once, by the thread that is to collect. `count` gives how many objects came since the last pass."""

    def __init__(self, count: Callable[[], int] = lambda: gc.get_count()[0]) -> None:
        gc.disable()
        self._count = count
        self._passes = 0
        self._settled = False

    def after_step(self) -> None:
        """Where there was no rest for so long that it may be worth it."""
        if self._count() < YOUNG:
            return
        self._passes += 1
        gc.collect(2 if self._passes % _ALL == 0 else 1 if self._passes % _OLDER == 0 else 0)

    def rest(self) -> None:
        """Nobody waits. What is there at the first one is the program itself, and no later pass looks at it."""
        gc.collect()
        if not self._settled:
            gc.freeze()
            self._settled = True
