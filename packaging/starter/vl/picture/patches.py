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
    """Rows and columns of all patches in the model's order (2 x 2 blocks), and what positions each one mixes."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    mix: NDArray[np.float32]  # [patches, positions]: the share of each learnt position


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
    dy, dx = (y - top).astype(np.float32), (x - left).astype(np.float32)
    mix = np.zeros((high * wide, side * side), np.float32)
    patch = np.arange(high * wide)
    for y, x, share in (
        (top, left, (1 - dy) * (1 - dx)),
        (top, right, (1 - dy) * dx),
        (bottom, left, dy * (1 - dx)),
        (bottom, right, dy * dx),
    ):
        np.add.at(mix, (patch, y * side + x), share)
    return Places(row, column, mix)


LONGEST = 2 * MOST // FACTOR**2  # the most merged patches that a side can have, with room to spare


@dataclass(frozen=True)
class Table:
    """The places of every grid behind each other; `start[high, wide]`, in merged patches, is where a grid begins."""

    start: NDArray[np.int64]
    places: Places


def table(side: int) -> Table:
    start = np.zeros((LONGEST + 1, LONGEST + 1), np.int64)
    found, at = [], 0
    for high in range(1, LONGEST + 1):
        for wide in range(1, LONGEST + 1):
            if high * wide * FACTOR**2 > 1.3 * MOST:
                continue
            start[high, wide] = at
            found.append(places(high * MERGE, wide * MERGE, side))
            at += len(found[-1].row)
    joined = (np.concatenate([getattr(each, name) for each in found]) for name in ("row", "column", "mix"))
    return Table(start, Places(*joined))
