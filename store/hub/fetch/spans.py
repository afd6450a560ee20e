"""Which byte ranges of a file are written: disjoint, in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Spans:
    """Half-open byte ranges; adjacent ones are merged."""

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
        """The end of the contiguous range from `start`; `start` itself when that byte is missing."""
        index = bisect_right(self._starts, start) - 1
        return max(start, self._stops[index]) if index >= 0 else start

    def gaps(self, size: int) -> Iterator[tuple[int, int]]:
        """The missing ranges of a file of `size` bytes, from the front."""
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
