"""Rotary positions of decode steps and prompts in a third of the operations.

MLX's CPU backend computes `mx.fast.rope` as a dozen operations, half of them for the angles, and a layer calls it twice
with the same positions. With one token a row each of them takes longer to begin than to compute, and of a prompt those
on halves of lines take ten times as long as on whole ones. Here all layers of a chunk, and queries and keys of a step,
share their angles, and the halves change places in a product with a permutation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import mlx.core as mx


class Rotation:
    """In place of `mx.fast.rope`; what it does not do itself, `plain` does."""

    def __init__(self, plain: Callable[..., mx.array]) -> None:
        self._plain = plain
        self._newest: tuple[mx.array, mx.array | None, tuple[float | None, float, int]] | None = None
        self._angles: tuple[mx.array, mx.array] | None = None
        self._chunk: tuple[tuple[Any, ...], mx.array | None, tuple[mx.array, mx.array]] | None = None

    def __call__(
        self,
        x: mx.array,
        dims: int,
        *,
        traditional: bool,
        base: float | None,
        scale: float,
        offset: Any,
        freqs: mx.array | None = None,
        **options: Any,
    ) -> mx.array:
        """(rows, heads, tokens, width) as MLX has it."""
        usual = x.ndim == 4 and x.dtype == mx.float32 and dims == x.shape[3] and not traditional
        usual = usual and all(value is None for value in options.values())
        if usual and x.shape[2] == 1 and isinstance(offset, mx.array) and offset.shape == x.shape[:1]:
            cosines, sines = self._of(offset, freqs, base, scale, dims)
            return x * cosines + (x @ _swapping(dims)) * sines
        if usual and x.shape[2] > 1 and isinstance(offset, int):
            return self._prompt(x, offset, freqs, base, scale)
        return self._plain(
            x, dims, traditional=traditional, base=base, scale=scale, offset=offset, freqs=freqs, **options
        )

    def _prompt(self, x: mx.array, offset: int, freqs: mx.array | None, base: float | None, scale: float) -> mx.array:
        """Token by token, as they lie in memory when a layer has made them."""
        width = x.shape[3]
        cosines, sines = self._of_chunk(x.shape[2], width, offset, freqs, base, scale)
        tokens = x.transpose(0, 2, 1, 3)
        swapped = (tokens.reshape(-1, width) @ _swapping(width)).reshape(tokens.shape)
        return (tokens * cosines + swapped * sines).transpose(0, 2, 1, 3)

    def _of_chunk(
        self, tokens: int, width: int, offset: int, freqs: mx.array | None, base: float | None, scale: float
    ) -> tuple[mx.array, mx.array]:
        """(tokens, 1, width) each, as `_of`; those of the newest chunk are kept."""
        chunk = (tokens, width, offset, base, scale)
        if self._chunk is None or self._chunk[0] != chunk or self._chunk[1] is not freqs:
            inverse = 1.0 / freqs if freqs is not None else _inverse(width, base)
            angles = ((mx.arange(tokens) + offset).astype(mx.float32) * scale)[:, None, None] * inverse
            cosines, sines = mx.cos(angles), mx.sin(angles)
            both = mx.concatenate([cosines, cosines], -1), mx.concatenate([-sines, sines], -1)
            self._chunk = (chunk, freqs, both)
        return self._chunk[2]

    def _of(
        self, offset: mx.array, freqs: mx.array | None, base: float | None, scale: float, dims: int
    ) -> tuple[mx.array, mx.array]:
        """(rows, 1, 1, width) each; the sines of the first half are negative."""
        known, rest = self._newest, (base, scale, dims)
        if self._angles is None or known is None or known[0] is not offset or known[1] is not freqs or known[2] != rest:
            inverse = 1.0 / freqs if freqs is not None else _inverse(dims, base)
            angles = (offset.astype(mx.float32) * scale)[:, None, None, None] * mx.concatenate([inverse, inverse])
            self._newest, self._angles = (offset, freqs, rest), (mx.cos(angles), mx.sin(angles) * _signs(dims))
        return self._angles


@lru_cache(maxsize=8)
def _inverse(dims: int, base: float | None) -> mx.array:
    """As MLX computes them, to the bit (`mlx/fast.cpp`)."""
    assert base is not None, "MLX wants one of base and freqs"
    half = dims // 2
    return _computed(mx.exp(mx.arange(0, -half, -1, dtype=mx.float32) * (math.log(base) / half)))


@lru_cache(maxsize=8)
def _signs(dims: int) -> mx.array:
    return _computed(mx.concatenate([-mx.ones(dims // 2), mx.ones(dims // 2)]))


@lru_cache(maxsize=8)
def _swapping(dims: int) -> mx.array:
    """A product with it puts the second half first."""
    return _computed(mx.roll(mx.eye(dims), dims // 2, 0))


def _computed(array: mx.array) -> mx.array:
    """So that what is traced with it has a constant there."""
    mx.eval(array)
    return array
