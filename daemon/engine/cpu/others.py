"""How many cores other programs use, from what Linux counts since the start of the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

WINDOW_SECONDS = 0.2
"""Linux counts in hundredths of a second: a shorter while says little."""

_BUSY = (1, 2, 3, 6, 7, 8)
"""user, nice, system, irq, softirq and steal in the first line of /proc/stat (man 5 proc)."""


class Others:
    """Asked again and again, from one thread."""

    def __init__(
        self,
        busy: Callable[[], float | None] | None = None,
        own: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`busy`: seconds that all cores together were busy, None where nobody counts them; `own`: those for us."""
        self._busy, self._own, self._clock = busy or busy_seconds, own, clock
        self._cores = 0.0
        self._before = self._now()

    def forget(self) -> None:
        """Look anew: until WINDOW_SECONDS from now nobody is known to use any."""
        self._cores, self._before = 0.0, self._now()

    @property
    def cores(self) -> float:
        """On average since it was last found out, WINDOW_SECONDS ago at the least; 0.0 where nobody counts."""
        if self._clock() - self._before[0] >= WINDOW_SECONDS:
            before, self._before = self._before, self._now()
            seconds, busy, own = (now - then for now, then in zip(self._before, before, strict=True))
            self._cores = max(0.0, (busy - own) / seconds)
        return self._cores

    def _now(self) -> tuple[float, float, float]:
        return self._clock(), self._busy() or 0.0, self._own()


def busy_seconds(path: Path = Path("/proc/stat")) -> float | None:
    """None where there is no such file, or it says something else."""
    try:
        fields = path.read_text().split("\n", 1)[0].split()
        return sum(int(fields[place]) for place in _BUSY) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
