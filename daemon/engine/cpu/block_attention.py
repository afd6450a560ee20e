"""Attention whose softmax takes its exponentials from `exponentials`: prompts in blocks of queries, and decode steps.

MLX's CPU backend has no kernel of its own for attention: it multiplies, masks and takes the softmax of all scores, what
a causal mask hides included. Here a block of queries sees the keys up to its last one, and its scores fit into the
processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import mlx.core as mx

from .exponentials import LOG2_E, POWER

WORTHWHILE = 1 << 15
"""So many scores at least: for fewer the operations themselves cost more than they spare."""

BLOCK_SCORES = 1 << 17
"""About so many scores a block, half a megabyte."""

SMALLEST_BLOCK = 32

SHORTEST = 16
"""Queries of a row of a prompt: a few have hardly any exponentials."""

WORTHWHILE_STEP = 1 << 11
"""So many scores of a decode step, once exponentials are fused."""

_HIDDEN = -3.4028234663852886e38  # as MLX hides a score: a row of which all are hidden gives the mean, not NaN


class Attention:
    """In place of `mx.fast.scaled_dot_product_attention`; what it does not do itself, `plain` does."""

    def __init__(self, plain: Callable[..., mx.array]) -> None:
        self._plain = plain
        self._newest_mask: tuple[mx.array, mx.array] | None = None

    def __call__(
        self, q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Any = None, **options: Any
    ) -> mx.array:
        """(rows, heads, queries, width) as MLX has it."""
        scores = q.size // max(1, q.shape[-1]) * k.shape[2]
        known = all(array.dtype == mx.float32 for array in (q, k, v)) and _known(mask, q.shape[2], k.shape[2])
        known = known and all(value is None for value in options.values())
        if known and q.shape[2] >= SHORTEST and scores >= WORTHWHILE:
            return attend(q * (scale * LOG2_E), k, v, mask)
        if known and q.shape[2] == 1 and scores >= WORTHWHILE_STEP and POWER.fused:
            return attend_step(q * (scale * LOG2_E), k, v, self._added(mask, k.shape[1]))
        return self._plain(q, k, v, scale=scale, mask=mask, **options)

    def _added(self, mask: Any, groups: int) -> mx.array | None:
        """What is added to the scores of a decode step: all layers of a step have the same mask."""
        if not isinstance(mask, mx.array):
            return None
        if self._newest_mask is None or self._newest_mask[0] is not mask:
            self._newest_mask = (mask, _added(mask, groups).squeeze(-2))
        return self._newest_mask[1]


def _known(mask: Any, queries: int, keys: int) -> bool:
    if isinstance(mask, mx.array):
        return mask.dtype in (mx.bool_, mx.float32)
    return mask is None or (mask == "causal" and queries <= keys)


def attend_step(q: mx.array, k: mx.array, v: mx.array, added: mx.array | None) -> mx.array:
    """Attention of one query a row, times scale and log2(e): the heads that share keys are the rows of one product."""
    rows, heads, _, width = q.shape
    shares = _shares(q.reshape(rows, k.shape[1], -1, width) @ k.swapaxes(-1, -2), added)
    return ((shares @ v) / mx.sum(shares, axis=-1, keepdims=True)).reshape(rows, heads, 1, v.shape[-1])


def attend(q: mx.array, k: mx.array, v: mx.array, mask: Any) -> mx.array:
    """Attention of queries times scale and log2(e), so that a share is two to the power of a score."""
    rows, heads, length, width = q.shape
    groups, seen = k.shape[1], k.shape[2]
    q, k, v = q.reshape(rows, groups, heads // groups, length, width), k[:, :, None], v[:, :, None]
    keys = k.swapaxes(-1, -2)
    added = _added(mask, groups) if isinstance(mask, mx.array) else None
    together = groups if rows * heads * seen * SMALLEST_BLOCK <= BLOCK_SCORES else 1
    size = max(SMALLEST_BLOCK, BLOCK_SCORES // (rows * (heads // groups) * together * seen))
    found = []
    for begin in range(0, length, size):
        end = min(length, begin + size)
        sees, part = seen, added
        if isinstance(mask, str):
            sees = seen - length + end
            part = _causal(end - begin, sees)
        elif added is not None and added.shape[-2] > 1:
            part = added[..., begin:end, :]
        blocks = []
        for group in range(0, groups, together):
            of = slice(group, group + together)
            own = part[:, of] if part is not None and part.ndim == 5 and part.shape[1] > 1 else part
            blocks.append(_block(q[:, of, :, begin:end], keys[:, of, :, :, :sees], v[:, of, :, :sees], own))
        found.append(_joined(blocks, 1))
    return _joined(found, -2).reshape(rows, heads, length, v.shape[-1])


def _joined(parts: list[mx.array], axis: int) -> mx.array:
    return parts[0] if len(parts) == 1 else mx.concatenate(parts, axis=axis)


def _added(mask: mx.array, groups: int) -> mx.array:
    """What is added to scores of (rows, groups, heads a group, queries, keys), with as many axes."""
    added = mx.where(mask, 0.0, _HIDDEN) if mask.dtype == mx.bool_ else mask * LOG2_E
    rows, heads, queries, keys = (1,) * (4 - mask.ndim) + mask.shape
    kinds = (1, 1) if heads == 1 else (groups, heads // groups)
    return added.reshape(rows, *kinds, queries, keys)


@lru_cache(maxsize=32)
def _causal(queries: int, keys: int) -> mx.array:
    """What is added to the scores of the last so many places; the same in all layers, and computed once."""
    places = mx.arange(keys)
    return mx.where(places <= places[keys - queries :, None], 0.0, _HIDDEN)


def _block(q: mx.array, keys: mx.array, v: mx.array, added: mx.array | None) -> mx.array:
    shares = _shares(q @ keys, added)
    # A sum along the last axis, as a product: four times as fast.
    return (shares @ v) / (shares @ mx.ones((shares.shape[-1], 1)))


def _shares(scores: mx.array, added: mx.array | None) -> mx.array:
    """Of the greatest share of each query, from binary logarithms of shares."""
    if added is not None:
        scores = scores + added
    return POWER(scores - mx.max(scores, axis=-1, keepdims=True))
