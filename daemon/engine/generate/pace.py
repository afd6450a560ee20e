"""How much prefill the device takes beside a decode step before the others feel it: plain arithmetic on step times.

The configured tokens per step are right for a slow device. A fast one does many times as much while a decode step's
overhead goes by, so the budget is stretched while prefill makes steps longer by less than STALL_SECONDS.
"""

from __future__ import annotations

STALL_SECONDS = 0.025
LONGEST_STRETCH = 16
SMOOTHING = 0.2


class Pace:
    """`stretch` multiplies the configured budget, 1 to LONGEST_STRETCH."""

    def __init__(self) -> None:
        self.stretch = 1
        self._plain: float | None = None

    def note(self, seconds: float, *, prefilled: int, budget: int) -> None:
        """One step with decoding rows took this long, with `prefilled` tokens of a `budget` beside it."""
        if not prefilled:
            self._plain = seconds if self._plain is None else self._plain + SMOOTHING * (seconds - self._plain)
        elif self._plain is not None:
            extra = seconds - self._plain
            if extra < STALL_SECONDS / 2 and 2 * prefilled >= budget:
                self.stretch = min(LONGEST_STRETCH, 2 * self.stretch)
            elif extra > STALL_SECONDS:
                self.stretch = max(1, self.stretch // 2)
