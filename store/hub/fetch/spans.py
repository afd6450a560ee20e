"""Which stretches of a file are there: disjoint, in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Spans:
    """Half-open stretches of bytes; neighbours that touch are one."""

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in spans:
            self.add(start, stop)

    def add(self, start: int, stop: int) -> None:
        if start >= stop:
            return
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def reach(self, start: int) -> int:
        """How far it goes on without a gap from `start`; `start` itself when nothing is there."""
        index = bisect_right(self._starts, start) - 1
        return max(start, self._stops[index]) if index >= 0 else start

    def gaps(self, size: int) -> Iterator[tuple[int, int]]:
        """What is missing of a file of that size, from the front."""
        position = 0
        for start, stop in self:
            if position < min(start, size):
                yield position, min(start, size)
            position = max(position, stop)
        if position < size:
            yield position, size

    @property
    def total(self) -> int:
        return sum(self._stops) - sum(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._starts, self._stops, strict=True)))

    def copy(self) -> Spans:
        return Spans(self)
