"""Rows that share one set of buffers, and one forward pass for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from ..cache.attention_rows import AttentionRows
from ..cache.capacity import columns
from ..cache.pages import Pages
from ..cache.positions import Positions
from ..cache.rows import rows_like
from ..shapes import EXACT, Shapes
from .inputs import Inputs

T = TypeVar("T")


def without(values: Iterable[T], rows: Iterable[int]) -> list[T]:
    """What is left when the values in these rows leave, the last row first: each is replaced by the last one."""
    left = list(values)
    for row in sorted(rows, reverse=True):
        left[row] = left[-1]
        left.pop()
    return left


class Bucket:
    """`keys` name the rows, dense and in the order of the buffers: leaving rows are replaced by the last ones."""

    def __init__(self, network: Any, *, ragged: bool = False, shapes: Shapes = EXACT, paged: bool = False) -> None:
        """`shapes`: how many rows a step computes; exactly those that there are where a layer has recurrent states.
        `paged`: rows have pages of their own, where every layer keeps every token."""
        self._network = network
        self._positions = Positions(ragged=ragged, pages=Pages() if paged else None)
        self.layers = [rows_like(cache, self._positions) for cache in make_prompt_cache(network)]
        if all(isinstance(layer, AttentionRows) for layer in self.layers):
            self._positions.shapes = shapes
        self.keys: list[int] = []

    @property
    def lengths(self) -> list[int]:
        """How many tokens each row has in the caches."""
        return self._positions.lengths

    @property
    def grows(self) -> bool:
        """Whether the next token of the longest row needs wider buffers than its last one did."""
        if self._positions.pages is not None:
            return False
        longest = max(self.lengths)
        return columns(longest + 1) > columns(longest)

    @property
    def rewinds(self) -> bool:
        """As in Forward."""
        return all(isinstance(layer, AttentionRows) and not layer.size for layer in self.layers)

    def rewind(self) -> None:
        """As in Forward."""
        self.lengths[:] = [length - 1 for length in self.lengths]
        self._positions.begin()

    def shift(self, key: int) -> int:
        """What a row adds to a token's place to have its position."""
        return self._positions.shifts[self.keys.index(key)]

    def join(
        self,
        keys: Sequence[int],
        caches: list[Any],
        source_row: int,
        lengths: Sequence[int],
        shift: int = 0,
        *,
        alike: int = 0,
        like: int | None = None,
    ) -> None:
        """New last rows, one a key: those from `source_row` on of these caches, of so many tokens each, of which the
        first `alike` are those of the row with key `like`, None: of the first one of them."""
        row = self._positions.count
        if self._positions.pages is not None:
            self._positions.pages.join(lengths, alike, None if like is None else self.keys.index(like))
        for layer, cache in zip(self.layers, caches, strict=True):
            layer.join(row, cache, source_row, lengths)
        self.keys += keys
        self._positions.lengths += lengths
        self._positions.shifts += [shift] * len(keys)
        self._positions.begin()

    def take(self, key: int) -> list[Any]:
        row = self.keys.index(key)
        caches = [layer.take(row, self.lengths[row]) for layer in self.layers]
        mx.async_eval([cache.state for cache in caches])
        return caches

    def leave(self, keys: Sequence[int]) -> None:
        """None of those that stay is copied more than once, and none that leaves; with pages mostly none at all."""
        staying = without(range(self._positions.count), map(self.keys.index, keys))
        moves = [(row, place) for place, row in enumerate(staying) if row != place]
        for layer in self.layers:
            for row, place in moves:
                layer.move(row, place)
        if self._positions.pages is not None:
            self._positions.pages.leave(staying)
        for values in (self.keys, self._positions.lengths, self._positions.shifts):
            values[:] = [values[row] for row in staying]
        self._positions.begin()
        for layer in self.layers:
            layer.cut(len(staying))

    def __call__(self, inputs: Inputs) -> mx.array:
        """One new token a row, a width of 1, to logits (rows, vocabulary)."""
        count, rows = self._positions.count, self._positions.rows
        if rows > count:
            inputs = inputs.padded(rows)
        if (positions := self._positions.shifted) is not None:
            inputs = replace(inputs, positions=positions)
        logits = inputs.apply(self._network, self.layers)[:count, -1]
        self._positions.advance()
        return logits

    @property
    def nbytes(self) -> int:
        return sum(layer.nbytes for layer in self.layers)
