"""Rotary positions of several axes (M-RoPE of Qwen2-VL, https://arxiv.org/abs/2409.12191): time, row, column.

A text token has the same position on every axis, and then this is plain RoPE. So mlx-lm's own module turns text, at
prefill and at decode, also after a picture, with the position in place of the place in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from ..model.rope_modules import wavelengths


@dataclass
class Ambient:
    """What goes into layers beside the arguments of mlx-lm's networks, for the length of one call.

    `positions`: (rows, 1) each row's first position, or (axes, rows, width). `additions`: (layers, rows, width, hidden)
    is added to what the first layers give.
    """

    positions: mx.array | None = None
    additions: mx.array | None = None
    turned: tuple[mx.array, mx.array] | None = None


class AxesRope(nn.Module):  # type: ignore[misc]
    """Stands for a rotary module of a layer. `axes[i]` is the axis whose position turns the i-th pair of values."""

    def __init__(self, plain: nn.Module, axes: Sequence[int], ambient: Ambient) -> None:
        super().__init__()
        self.plain = plain
        self._axes = mx.array(list(axes))
        self._ambient = ambient

    def __call__(self, x: mx.array, offset: int | mx.array = 0) -> mx.array:
        positions = self._ambient.positions
        if positions is None or positions.ndim == 2:
            turned: mx.array = self.plain(x, offset=offset if positions is None else positions[:, 0])
            return turned
        if self._ambient.turned is None:
            angles = positions.transpose(1, 2, 0)[..., self._axes].astype(mx.float32) / wavelengths(self.plain)
            self._ambient.turned = mx.cos(angles)[:, None], mx.sin(angles)[:, None]
        cosines, sines = self._ambient.turned
        width = cosines.shape[-1]
        first, second, rest = x[..., :width], x[..., width : 2 * width], x[..., 2 * width :]
        parts = [first * cosines - second * sines, second * cosines + first * sines]
        return mx.concatenate([*(part.astype(x.dtype) for part in parts), rest], axis=-1)


def pair_axes(sections: Sequence[int], pairs: int, *, interleaved: bool) -> list[int]:
    """Which axis turns each of so many pairs: one axis after the other, or in turns as far as the sections go."""
    if interleaved:
        return [place % 3 if place < 3 * sections[place % 3] else 0 for place in range(pairs)]
    axes = [axis for axis, length in enumerate(sections) for _ in range(length)]
    return (axes + [0] * pairs)[:pairs]


@dataclass(frozen=True)
class Span:
    """A picture's tokens in a prompt: from `begin` on, row by row."""

    begin: int
    rows: int
    columns: int


def spread_positions(length: int, spans: Sequence[Span]) -> tuple[NDArray[np.int32], int]:
    """(3, length) positions of a prompt, and what is to be added to a later token's place to have its position.

    A picture takes as many positions as its longer side has tokens.
    """
    positions = np.empty((3, length), np.int32)
    done = position = 0
    for span in sorted(spans, key=lambda one: one.begin):
        text = span.begin - done
        positions[:, done : span.begin] = np.arange(position, position + text)
        position += text
        done = span.begin + span.rows * span.columns
        rows, columns = np.divmod(np.arange(span.rows * span.columns), span.columns)
        positions[:, span.begin : done] = position + np.stack([np.zeros_like(rows), rows, columns])
        position += max(span.rows, span.columns)
    positions[:, done:] = np.arange(position, position + length - done)
    return positions, position - done
