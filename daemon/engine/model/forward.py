"""The model applied to the running rows: one forward pass for all, or row by row where its caches allow no batch.

Both sides of that choice look the same to the batch.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Protocol

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from ..cache.positions import Positions
from ..cache.rows import rows_like


class Forward(Protocol):
    """Rows are dense: a leaving row is replaced by the last one."""

    def join(self, caches: list[Any], source_row: int, length: int) -> None:
        """A new last row: `length` tokens of row `source_row` of these plain caches, which stay as they are."""

    def take(self, row: int) -> list[Any]:
        """A copy of what a row has, as of the last call: plain caches of mlx-lm's own classes, one a layer, of one row.
        They may join again, any number of times, or be prefilled on from. The row stays."""

    def leave(self, row: int) -> None: ...

    def __call__(self, tokens: mx.array) -> mx.array:
        """One new token a row, (rows,), to logits (rows, vocabulary)."""

    @property
    def nbytes(self) -> int: ...


def ragged_works(network: Any) -> bool:
    """Whether this architecture hands masks through to attention untouched, so that `Ragged` may stand in for them."""
    outcomes = []
    try:
        for ragged in (False, True):
            forward = BatchedForward(network, ragged=ragged)
            for length in (1, 3):
                caches = make_prompt_cache(network)
                network(mx.zeros((1, length), dtype=mx.int32), cache=caches)
                forward.join(caches, 0, length)
            outcomes.append(forward(mx.zeros(2, dtype=mx.int32)).astype(mx.float32))
        mx.eval(outcomes)
    except (TypeError, ValueError, AttributeError, RuntimeError):
        return False
    masked, counted = outcomes
    return bool(mx.max(mx.abs(masked - counted)) <= 0.05 * mx.max(mx.abs(masked)))


class BatchedForward:
    def __init__(self, network: Any, *, ragged: bool = False) -> None:
        self._network = network
        self._positions = Positions(ragged=ragged)
        self._layers = [rows_like(cache, self._positions) for cache in make_prompt_cache(network)]

    def join(self, caches: list[Any], source_row: int, length: int) -> None:
        row = self._positions.count
        for layer, cache in zip(self._layers, caches, strict=True):
            layer.join(row, cache, source_row, length)
        self._positions.lengths.append(length)
        self._positions.begin()

    def take(self, row: int) -> list[Any]:
        caches = [layer.take(row, self._positions.lengths[row]) for layer in self._layers]
        mx.async_eval([cache.state for cache in caches])
        return caches

    def leave(self, row: int) -> None:
        last = self._positions.count - 1
        for layer in self._layers:
            if row != last:
                layer.move(last, row)
            layer.cut(last)
        self._positions.lengths[row] = self._positions.lengths[last]
        self._positions.lengths.pop()
        self._positions.begin()

    def __call__(self, tokens: mx.array) -> mx.array:
        logits: mx.array = self._network(tokens[:, None], cache=self._layers)[:, -1]
        self._positions.advance()
        return logits

    @property
    def nbytes(self) -> int:
        return sum(layer.nbytes for layer in self._layers)


class SoloForward:
    """Each row has plain caches of its own, copies of what it was prefilled with (MLX's arrays are copied on write)."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._rows: list[list[Any]] = []

    def join(self, caches: list[Any], source_row: int, length: int) -> None:
        if source_row != 0:
            raise ValueError("a model without batched caches is prefilled one sequence at a time")
        self._rows.append(deepcopy(caches))

    def take(self, row: int) -> list[Any]:
        return deepcopy(self._rows[row])

    def leave(self, row: int) -> None:
        self._rows[row] = self._rows[-1]
        self._rows.pop()

    def __call__(self, tokens: mx.array) -> mx.array:
        return mx.concatenate(
            [self._network(tokens[row : row + 1, None], cache=caches)[:, -1] for row, caches in enumerate(self._rows)]
        )

    @property
    def nbytes(self) -> int:
        return sum(cache.nbytes for caches in self._rows for cache in caches)
