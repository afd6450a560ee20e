"""Rows of different lengths side by side: padded on the right, and the masks that keep the padding out of attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from ..shapes import EXACT, Shapes


@dataclass(frozen=True)
class Padded:
    """`tokens` and `segments`: (rows, width), int32; row i has `lengths[i]` tokens, all at the front, at least one."""

    tokens: mx.array
    lengths: mx.array
    even: bool
    segments: mx.array | None = None

    @property
    def width(self) -> int:
        return int(self.tokens.shape[1])

    def present(self) -> mx.array:
        """Where there are tokens, bool, (rows, width)."""
        return mx.arange(self.width) < self.lengths[:, None]

    def key_mask(self) -> mx.array | None:
        """What every token may look at: all that is no padding, bool, (rows, 1, 1, width); None where none is."""
        return None if self.even else self.present()[:, None, None, :]

    def window_mask(self, nearest: int) -> mx.array | None:
        """The same for attention to tokens less than `nearest` away; a padding sees itself, so that no row of scores is
        empty. None where every token is as near."""
        if nearest >= self.width:
            return self.key_mask()
        places = mx.arange(self.width)
        near = mx.abs(places[:, None] - places[None, :]) < nearest
        if self.even:
            return near[None, None]
        itself = places[:, None] == places[None, :]
        return (near & self.present()[:, None, :] | itself)[:, None]


def pad(
    tokens: Sequence[Sequence[int]], segments: Sequence[Sequence[int]] | None = None, shapes: Shapes = EXACT
) -> Padded:
    """None of the rows may be empty."""
    lengths = np.fromiter((len(row) for row in tokens), np.int32, len(tokens))
    width = shapes.columns(int(lengths.max()))
    return Padded(
        tokens=mx.array(_matrix(tokens, lengths, width)),
        lengths=mx.array(lengths),
        even=bool((lengths == width).all()),
        segments=None if segments is None else mx.array(_matrix(segments, lengths, width)),
    )


def _matrix(rows: Sequence[Sequence[int]], lengths: Any, width: int) -> Any:
    matrix = np.zeros((len(rows), width), np.int32)
    matrix[np.arange(width) < lengths[:, None]] = np.concatenate([np.asarray(row, np.int32) for row in rows])
    return matrix
