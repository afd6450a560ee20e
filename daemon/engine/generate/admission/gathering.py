"""Whether prompts that are nearly prepared had better be waited for, so that they are read with those that are.

On a GPU reading one short prompt takes hardly less time than reading thirty, and whoever comes while it is read waits
for all of that. So where nobody decodes, those that come one soon after the other are read as one group: 32 of one
burst that are prepared within 40 ms, one a millisecond, were read as one and then 27 and 4.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MOST_SECONDS = 0.05
"""What the first one waits for the others at most, and only where at the pace of those before all will be there."""
GAP_SECONDS = 0.004
"""The next one is waited for so long."""
FEW = 4
"""So many say nothing of the pace: the first ones of a burst are prepared while it still arrives."""


class Gathering:
    """`clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count = 0
        self._first = self._last = 0.0

    def came(self) -> None:
        """One more is prepared."""
        self._last = self._clock()
        if not self._count:
            self._first = self._last
        self._count += 1

    def begin(self) -> None:
        """Those that are there are read now."""
        self._count = 0

    def left(self, coming: int) -> float:
        """Seconds until the next one is given up, while so many are being prepared; 0: nobody is waited for."""
        if not (coming and self._count):
            return 0.0
        took = self._last - self._first
        others = self._count - 1
        if others >= FEW and took + coming * took / others > MOST_SECONDS:
            return 0.0
        return max(0.0, min(self._last + GAP_SECONDS, self._first + MOST_SECONDS) - self._clock())
