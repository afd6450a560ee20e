"""One request on its way through the batches: its rows that wait, and what came out of the others. Knows no MLX."""

from __future__ import annotations

import bisect
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..texts.row import Row


class RowJob:
    """`work` has `count` inputs; `caches` are those of the shared head, once there are some. `told`: that it is under
    way."""

    def __init__(self, number: int, work: Any, count: int) -> None:
        self.number = number
        self.work = work
        self.count = count
        self.waiting: list[Row] = []  # shortest first
        self.remaining = 0  # tokens of those that wait
        self.tokens = 0
        self.cut: list[int] = []
        self.results: NDArray[np.float32] | None = None
        self.left = count
        self.caches: list[Any] | None = None
        self.over = self.told = False
        self.arrived = time.monotonic()
        self.begun: float | None = None

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            row.job = self
            self.tokens += len(row.tokens)
            self.remaining += row.length
            if row.cut:
                self.cut.append(row.place)
            bisect.insort(self.waiting, row, key=lambda one: one.length)

    def between(self, shortest: int, longest: int) -> list[Row]:
        """Rows that wait and are of such a length, longest first."""
        low = bisect.bisect_left(self.waiting, shortest, key=lambda one: one.length)
        high = bisect.bisect_right(self.waiting, longest, key=lambda one: one.length)
        return self.waiting[low:high][::-1]

    def take(self, rows: Iterable[Row]) -> None:
        """They no longer wait."""
        taken = set(rows)
        self.waiting = [row for row in self.waiting if row not in taken]
        self.remaining -= sum(row.length for row in taken)
        self.begun = self.begun or time.monotonic()

    def note(self, row: Row, values: NDArray[np.float32]) -> None:
        """What came out of one row."""
        if self.results is None:
            self.results = np.empty((self.count, len(values)), np.float32)
        self.results[row.place] = values
        self.left -= 1
