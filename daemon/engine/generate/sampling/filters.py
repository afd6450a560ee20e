"""Top-k, top-p and min-p as one number a row: the least logit that may still be drawn. Knows no requests.

A filter keeps the likeliest tokens and all that tie with the last one kept. Everything here is row by row, so that no
row's result depends on which others are filtered beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Rows
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from ...device import backend

_NARROWEST, _WIDEST = 64, 1024
_BLOCK = 32


@dataclass(frozen=True)
class Filter:
    """What one row asks for: `top_k` 0, `top_p` 1 and `min_p` 0 keep everything. `row` is its place among the rows
    that are drawn from."""

    row: int
    top_k: int
    top_p: float
    min_p: float

    def width(self, vocabulary: int) -> int:
        """How many of the row's largest logits have to be sorted; 0: those that the host finds out.

        A power of two, so that rows of like top-k go together and what is summed depends on the row alone."""
        if self.top_k:
            width = max(_NARROWEST, 1 << (self.top_k - 1).bit_length())
            return min(width, vocabulary) if width <= _WIDEST else vocabulary
        return 0 if backend() == "cpu" else vocabulary


class Floors:
    """The filters of one batch. A row without any is not looked at."""

    def __init__(self, filters: Rows[Filter], rows: int, vocabulary: int) -> None:
        self._rows = rows
        groups: dict[int, list[Filter]] = {}
        for one in filters:
            if one.top_k or one.top_p < 1.0:
                groups.setdefault(one.width(vocabulary), []).append(one)
        self._groups = [_Group(width, members, rows, vocabulary) for width, members in sorted(groups.items())]
        order = [member.row for _, members in sorted(groups.items()) for member in members]
        order += sorted(set(range(rows)) - set(order))
        self._order = mx.array([order.index(row) for row in range(rows)])
        self._open = rows - sum(map(len, groups.values()))
        least = {one.row: one.min_p for one in filters if one.min_p > 0}
        self._min_p = mx.array([[least.get(row, 0.0)] for row in range(rows)]) if least else None

    @property
    def waits(self) -> bool:
        """Whether the host reads the logits, and so waits for them."""
        return any(group.by_host for group in self._groups)

    def apply(self, scaled: mx.array) -> mx.array:
        """Minus infinity in place of every logit of (rows, vocabulary), float32, that a filter excludes."""
        floor = None
        if self._groups:
            parts = [group.floor(scaled) for group in self._groups]
            floor = mx.concatenate([*parts, mx.full((self._open, 1), -mx.inf)])[self._order]
        if self._min_p is not None:
            relative = mx.max(scaled, axis=-1, keepdims=True) + mx.log(self._min_p)
            floor = relative if floor is None else mx.maximum(floor, relative)
        return scaled if floor is None else mx.where(scaled >= floor, scaled, -mx.inf)


class _Group:
    """Rows whose floor is found in the same way."""

    def __init__(self, width: int, filters: Rows[Filter], rows: int, vocabulary: int) -> None:
        self._width = width
        self._index = None if len(filters) == rows else mx.array([one.row for one in filters])
        self._top_k = mx.array([[one.top_k or vocabulary] for one in filters])
        self._top_p = mx.array([[one.top_p] for one in filters])

    @property
    def by_host(self) -> bool:
        return self._width == 0

    def floor(self, scaled: mx.array) -> mx.array:
        own = scaled if self._index is None else scaled[self._index]
        if self.by_host:
            return nucleus_floor(own, self._top_p)
        return sorted_floor(largest(own, self._width), self._top_k, self._top_p)


def sorted_floor(best: mx.array, top_k: mx.array, top_p: mx.array) -> mx.array:
    """The least logit that top-k and then top-p keep, (rows, 1), of each row's largest ones, in any order."""
    best = mx.sort(best, axis=-1)[:, ::-1]
    place = mx.arange(best.shape[-1])[None]
    inside = place < top_k
    weights = mx.softmax(mx.where(inside, best, -mx.inf), axis=-1)
    before = mx.cumsum(weights, axis=-1) - weights
    inside = inside & ((before < top_p) | (place == 0))
    return mx.min(mx.where(inside, best, mx.inf), axis=-1, keepdims=True)


def nucleus_floor(logits: mx.array, top_p: mx.array) -> mx.array:
    """The least logit that top-p keeps, (rows, 1), of float32 that the host may read: it waits for them.

    All that a row's smallest tokens have together is less than their number times the greatest of them: so those that
    cannot be in the nucleus are left out by one comparison, and only the others are sorted.
    """
    mx.eval(logits, top_p)
    wanted = np.asarray(top_p)[:, 0]
    with np.errstate(invalid="ignore"):  # a row that is not finite is none to draw from
        floors = [_row_floor(row, float(part)) for row, part in zip(np.asarray(logits), wanted, strict=True)]
    return mx.array(floors)[:, None]


def _row_floor(row: np.ndarray, top_p: float) -> float:
    weights = np.exp(row - row.max())
    total = float(weights.sum(dtype=np.float64))
    if not math.isfinite(total):
        return -math.inf
    inside = np.sort(weights[weights >= (1.0 - top_p) * total / len(row)])[::-1]
    before = np.cumsum(inside, dtype=np.float64) - inside
    kept = max(1, int(np.searchsorted(before, top_p * total)))
    return float(row[weights >= inside[kept - 1]].min())


def largest(logits: mx.array, count: int) -> mx.array:
    """Each row's `count` largest values, (rows, count), in any order."""
    if count >= logits.shape[1]:
        return logits
    return mx.topk(candidates(logits, count)[0], count, axis=-1)


def candidates(logits: mx.array, count: int) -> tuple[mx.array, mx.array]:
    """Values and ids of some of each row's tokens, (rows, some), the `count` likeliest among them.

    Those lie in the `count` blocks with the largest maxima: only the maxima and these blocks are looked through.
    """
    vocabulary = logits.shape[1]
    if vocabulary < 2 * _BLOCK * count:
        return logits, mx.broadcast_to(mx.arange(vocabulary, dtype=mx.uint32), logits.shape)
    blocks = _padded(logits, _BLOCK, -mx.inf).reshape(logits.shape[0], -1, _BLOCK)
    maxima = mx.max(blocks, axis=-1)
    best = mx.argpartition(maxima, maxima.shape[1] - count, axis=-1)[:, -count:, None]
    ids = best * _BLOCK + mx.arange(_BLOCK, dtype=best.dtype)
    return mx.take_along_axis(blocks, best, axis=1).flatten(1), ids.flatten(1)


def _padded(rows: mx.array, multiple: int, value: float) -> mx.array:
    missing = -rows.shape[1] % multiple
    return mx.pad(rows, [(0, 0), (0, missing)], constant_values=value) if missing else rows
