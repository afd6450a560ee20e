"""Attention of one new token a row with heads of 512, as in Gemma 4's global layers, on Metal.

Whether MLX fuses attention is decided in `ScaledDotProductAttention::use_fallback`. In 0.32.4, as the code in the wheel
for macOS says, for up to eight query tokens widths of 64, 96, 128 and 256 are fused with a mask as well. A width of 512
is only for one query token, eight query heads a key head, 1024 keys or more (MLX_SDPA_D512_MIN_KL), and without an
array mask. So rows of one length are attended to without a mask, and rows of different lengths one at a time where each
of them is fused by that rule. This was not run on Metal.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from .ragged import Attention, Ragged

WIDTH = 512
GROUP = 8
FEWEST_KEYS = 1024


def fused_alone(queries: tuple[int, ...], keys: tuple[int, ...], values: tuple[int, ...], count: int) -> bool:
    """Whether MLX fuses a row of so many keys without a mask, and did not with one; shapes as attention takes them."""
    widths = {queries[-1], keys[-1], values[-1]}
    return widths == {WIDTH} and queries[2] == 1 and queries[1] == GROUP * keys[1] and count >= FEWEST_KEYS


class WideAttention:
    """Installed once in a child on Metal, in place of `mx.fast.scaled_dot_product_attention`."""

    def __init__(self, plain: Attention) -> None:
        self._plain = plain

    def __call__(
        self, q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Any = None, **options: Any
    ) -> mx.array:
        if not isinstance(mask, Ragged):
            return self._plain(q, k, v, scale=scale, mask=mask, **options)
        k, v = mask.cut(k), mask.cut(v)
        if len(set(mask.lengths)) == 1:
            return self._plain(q, k, v, scale=scale, **options)
        if options.get("sinks") is not None or not fused_alone(q.shape, k.shape, v.shape, min(mask.lengths)):
            return self._plain(q, k, v, scale=scale, mask=mask.mask(), **options)
        rows = (slice(row, row + 1) for row in range(q.shape[0]))
        each = [
            self._plain(q[row], k[row, :, :count], v[row, :, :count], scale=scale, **options)
            for row, count in zip(rows, mask.lengths, strict=True)
        ]
        return mx.concatenate(each)
