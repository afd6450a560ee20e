"""How a picture becomes patches: the size that the processor gives it, and where each patch stands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

PATCH, MERGE = 16, 2
FACTOR = PATCH * MERGE
FEWEST, MOST = 160 * 160, 192 * 192  # pixels; whatever comes in is scaled to between


def resized(height: int, width: int) -> tuple[int, int]:
    """Qwen's smart_resize: multiples of FACTOR, the number of pixels within bounds."""
    high, wide = round(height / FACTOR) * FACTOR, round(width / FACTOR) * FACTOR
    if high * wide > MOST:
        beta = math.sqrt(height * width / MOST)
        return tuple(max(FACTOR, math.floor(x / beta / FACTOR) * FACTOR) for x in (height, width))  # type: ignore[return-value]
    if high * wide < FEWEST:
        beta = math.sqrt(FEWEST / (height * width))
        return tuple(math.ceil(x * beta / FACTOR) * FACTOR for x in (height, width))  # type: ignore[return-value]
    return high, wide


@dataclass(frozen=True)
class Places:
    """Rows and columns of all patches in the model's order (2 x 2 blocks), and how to read the table of positions."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    index: NDArray[np.int64]  # [patches, 4]
    weight: NDArray[np.float32]


@cache
def places(high: int, wide: int, side: int) -> Places:
    """For a grid of `high` x `wide` patches and a table of `side` x `side` positions, interpolated corner to corner."""
    rows, columns = np.meshgrid(np.arange(high), np.arange(wide), indexing="ij")

    def blocks(values: NDArray[np.int64]) -> NDArray[np.int64]:
        return values.reshape(high // MERGE, MERGE, wide // MERGE, MERGE).transpose(0, 2, 1, 3).reshape(-1)

    row, column = blocks(rows), blocks(columns)
    y = np.linspace(0, side - 1, high, dtype=np.float32)[row]
    x = np.linspace(0, side - 1, wide, dtype=np.float32)[column]
    top, left = y.astype(np.int64), x.astype(np.int64)
    bottom, right = np.minimum(top + 1, side - 1), np.minimum(left + 1, side - 1)
    dy, dx = y - top, x - left
    index = np.stack((top * side + left, top * side + right, bottom * side + left, bottom * side + right), -1)
    weight = np.stack(((1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx), -1)
    return Places(row, column, index, weight.astype(np.float32))
