"""Recurrent states of one layer for a decode batch."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
from mlx_lm.models.cache import ArraysCache


class StateRows(ArraysCache):  # type: ignore[misc]
    """The recurrent states of one layer (convolution, SSM, linear attention), each of shape (rows, …)."""

    def __init__(self, size: int) -> None:
        super().__init__(size)

    def join(self, row: int, source: ArraysCache, source_row: int, lengths: Sequence[int]) -> None:
        count = len(lengths)
        for index, state in enumerate(source.cache):
            own = self.cache[index]
            if state is None:
                continue
            new = state[source_row : source_row + count]
            if own is None:
                own = mx.zeros((row, *new.shape[1:]), dtype=new.dtype)
            if own.shape[0] < row:
                own = mx.pad(own, [(0, row - own.shape[0])] + [(0, 0)] * (own.ndim - 1))
            self.cache[index] = mx.concatenate([own, new]) if own.shape[0] == row else _replaced(own, row, new)
        if all(state is None for state in source.cache):
            self._zero(row, count)

    def _zero(self, row: int, count: int) -> None:
        for index, own in enumerate(self.cache):
            if own is None:
                continue
            new = mx.zeros((count, *own.shape[1:]), dtype=own.dtype)
            self.cache[index] = mx.concatenate([own, new]) if own.shape[0] == row else _replaced(own, row, new)

    def take(self, row: int, length: int) -> ArraysCache:
        """Copy a row of `length` tokens into a plain cache."""
        cache = ArraysCache(len(self.cache))
        if length:
            cache.cache = [None if own is None else mx.contiguous(own[row : row + 1]) for own in self.cache]
        return cache

    def move(self, source: int, target: int) -> None:
        for index, own in enumerate(self.cache):
            if own is not None:
                self.cache[index] = _replaced(own, target, own[source : source + 1])

    def cut(self, count: int) -> None:
        self.cache: list[mx.array | None] = [None if own is None or count == 0 else own[:count] for own in self.cache]


def _replaced(array: mx.array, row: int, new: mx.array) -> mx.array:
    parts = [array[:row], new, array[row + new.shape[0] :]]
    return mx.concatenate([part for part in parts if part.shape[0]])
