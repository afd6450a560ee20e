"""Rows that share one set of buffers, and one forward pass for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from ..cache.attention_rows import AttentionRows
from ..cache.capacity import columns
from ..cache.positions import Positions
from ..cache.rows import rows_like
from ..shapes import EXACT, Shapes
from .inputs import Inputs


class Bucket:
    """`keys` name the rows, dense and in the order of the buffers: a leaving row is replaced by the last one."""

    def __init__(self, network: Any, *, ragged: bool = False, shapes: Shapes = EXACT) -> None:
        """`shapes`: how many rows a step computes; exactly those that there are where a layer has recurrent states."""
        self._network = network
        self._positions = Positions(ragged=ragged)
        self.layers = [rows_like(cache, self._positions) for cache in make_prompt_cache(network)]
        if all(type(layer) is AttentionRows for layer in self.layers):
            self._positions.shapes = shapes
        self.keys: list[int] = []

    @property
    def lengths(self) -> list[int]:
        """How many tokens each row has in the caches."""
        return self._positions.lengths

    @property
    def grows(self) -> bool:
        """Whether the next token of the longest row needs wider buffers than its last one did."""
        longest = max(self.lengths)
        return columns(longest + 1) > columns(longest)

    def shift(self, key: int) -> int:
        """What a row adds to a token's place to have its position."""
        return self._positions.shifts[self.keys.index(key)]

    def join(
        self, keys: Sequence[int], caches: list[Any], source_row: int, lengths: Sequence[int], shift: int = 0
    ) -> None:
        """New last rows, one a key: those from `source_row` on of these caches, of so many tokens each."""
        row = self._positions.count
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

    def leave(self, key: int) -> None:
        row, last = self.keys.index(key), self._positions.count - 1
        if row != last:
            for layer in self.layers:
                layer.move(last, row)
        for values in (self.keys, self._positions.lengths, self._positions.shifts):
            values[row] = values[last]
            values.pop()
        self._positions.begin()
        for layer in self.layers:
            layer.cut(last)

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
