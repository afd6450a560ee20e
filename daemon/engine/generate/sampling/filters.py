"""Top-k, top-p and min-p as one number a row: the least logit that may still be drawn. Knows no requests.

A filter keeps the likeliest tokens and all that tie with the last one kept. Everything here is row by row, so that no
row's result depends on which others are filtered beside it.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import dataclass

import mlx.core as mx

from ...device import backend

_NARROWEST, _WIDEST = 64, 1024
_BLOCK = 32
_SORTED = 1024


@dataclass(frozen=True)
class Filter:
    """What one row asks for: `top_k` 0, `top_p` 1 and `min_p` 0 keep everything. `row` is its place among the rows
    that are drawn from."""

    row: int
    top_k: int
    top_p: float
    min_p: float

    def width(self, vocabulary: int) -> int:
        """How many of the row's largest logits have to be sorted; 0: none, for top-p alone needs no order.

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

    def floor(self, scaled: mx.array) -> mx.array:
        own = scaled if self._index is None else scaled[self._index]
        if self._width == 0:
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
    """The least logit that top-p keeps, (rows, 1), without sorting the row.

    Quickselect by weight, with shapes that do not depend on the values: the weights are parted into a larger and a
    smaller half; where the larger half has the mass, the floor is in it, else in the other. So each round has half the
    work of the last one, and what is left at the end is short enough to sort.
    """
    weights = mx.exp(logits - mx.max(logits, axis=-1, keepdims=True))
    left = top_p * mx.sum(weights, axis=-1, keepdims=True)
    rounds = max(0, (-(-logits.shape[1] // _SORTED) - 1).bit_length())
    rest = _padded(weights, 1 << rounds, 0.0)
    for _ in range(rounds):
        half = rest.shape[1] // 2
        rest = mx.partition(rest, half, axis=-1)
        small, large = rest[:, :half], rest[:, half:]
        mass = mx.sum(large, axis=-1, keepdims=True)
        enough = mass >= left
        rest = mx.where(enough, large, small)
        left = mx.where(enough, left, left - mass)
    rest = mx.sort(rest, axis=-1)[:, ::-1]
    before = mx.cumsum(rest, axis=-1) - rest
    kept = (before < left) | (mx.arange(rest.shape[1])[None] == 0)
    least = mx.min(mx.where(kept, rest, mx.inf), axis=-1, keepdims=True)
    return mx.min(mx.where(weights >= least, logits, mx.inf), axis=-1, keepdims=True)


def largest(logits: mx.array, count: int) -> mx.array:
    """Each row's `count` largest values, (rows, count), in any order.

    They lie in the `count` blocks with the largest maxima, so that only the maxima and these blocks are looked through.
    """
    if count >= logits.shape[1]:
        return logits
    if logits.shape[1] >= 2 * _BLOCK * count:
        blocks = _padded(logits, _BLOCK, -mx.inf).reshape(logits.shape[0], -1, _BLOCK)
        maxima = mx.max(blocks, axis=-1)
        best = mx.argpartition(maxima, maxima.shape[1] - count, axis=-1)[:, -count:]
        logits = mx.take_along_axis(blocks, best[:, :, None], axis=1).flatten(1)
    return mx.topk(logits, count, axis=-1)


def _padded(rows: mx.array, multiple: int, value: float) -> mx.array:
    missing = -rows.shape[1] % multiple
    return mx.pad(rows, [(0, 0), (0, missing)], constant_values=value) if missing else rows
