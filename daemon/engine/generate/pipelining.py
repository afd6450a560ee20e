"""Whether a step is launched before the last one's tokens are read: measured, for no rule knows the device.

Launched early, the device never waits for Python. But MLX writes into a cache in place only when nothing else holds its
buffer, and an operation that runs holds what it reads until it is done (`gpu::eval` and `cpu::eval`, in the handler of
its completion): so a step that is launched while the last one's attention runs copies every cache first. What that
costs grows with the caches, what the wait costs with the device's speed. Plain arithmetic on times; the tokens are the
same either way.
"""

from __future__ import annotations

from statistics import median

from ..cache.capacity import rows as buffer_rows

STRETCH = 6
FIRST_WAIT = 32
LONGEST_WAIT = 4096
MARGIN = 0.05
SLOWER = 1.5
HOPELESS = 4.0


class Comparison:
    """Which of two ways is faster, for batches of one size: `early` is how the next step goes.

    Now and then STRETCH steps go each way. The other way becomes the usual one when it is faster by MARGIN; it is given
    up at once when a step takes HOPELESS times as long, or two of them SLOWER. Then comes a wait, twice as long after
    each trial that changed nothing.
    """

    def __init__(self) -> None:
        self.early = self._usual = False
        self._wait = self._left = FIRST_WAIT
        self._usual_times: list[float] = []
        self._other_times: list[float] = []

    def note(self, seconds: float) -> None:
        """A step that went as `early` said, like the one before it, took so long."""
        if self._left:
            self._left -= 1
        elif self.early == self._usual:
            self._usual_times.append(seconds)
            if len(self._usual_times) == STRETCH:
                self.early = not self._usual
        else:
            self._other_times.append(seconds)
            self._judge(median(self._usual_times))

    def _judge(self, usual: float) -> None:
        times = self._other_times
        given_up = times[-1] > HOPELESS * usual or (len(times) > 1 and min(times[-2:]) > SLOWER * usual)
        if not given_up and len(times) < STRETCH:
            return
        if not given_up and median(times) < (1 - MARGIN) * usual:
            self._usual = not self._usual
            self._wait = FIRST_WAIT
        else:
            self._wait = min(LONGEST_WAIT, 2 * self._wait)
        self.early, self._left = self._usual, self._wait
        self._usual_times, self._other_times = [], []


class Pipelining:
    """Caches of fewer than `certain` bytes are copied in no time on this kind of device: there nothing is compared."""

    def __init__(self, certain: int) -> None:
        self.certain = certain
        self._comparisons: dict[tuple[int, int], Comparison] = {}
        self._now: Comparison | None = None
        self._early = self._steady = False

    def early(self, rows: int, nbytes: int) -> bool:
        """How the step that begins now goes, with so many rows and bytes of caches."""
        if nbytes < self.certain:
            self._now = None
            return True
        now = self._comparisons.setdefault((buffer_rows(rows), nbytes.bit_length()), Comparison())
        self._steady = now is self._now and now.early == self._early
        self._now, self._early = now, now.early
        return now.early

    def note(self, seconds: float, *, plain: bool) -> None:
        """That step took so long; `plain`: it decoded the rows of the step before and did nothing else."""
        if self._now is not None and self._steady and plain:
            self._now.note(seconds)
