"""Batches of texts, each in a row of its own, and what the model needs of them on the device."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LENGTHS = ((3, 0.5), (9, 0.4), (34, 0.1))  # sentences of a passage at most, share of batches
LONGEST = 1024  # tokens of a text
DROPPED, DROPOUT = 0.15, 0.1  # share of texts in other pieces than usual, and how many merges they leave out


@dataclass
class Batch:
    """Flat: texts behind each other, cut by `bounds`, filled up to a fixed size by a piece that is no text.

    Text j answers query i where `wanted[i]` is among `keys[j]`; only the embedding model asks. `labels` number the
    domains. `spots` are tokens whose next one the reranker guesses while it learns the words.
    """

    ids: NDArray[np.uint16]
    bounds: NDArray[np.int32]
    texts: int
    groups: int
    labels: NDArray[np.int16] | None = None
    wanted: NDArray[np.int64] | None = None
    keys: NDArray[np.int64] | None = None
    spots: NDArray[np.int32] | None = None


def laid_out(texts: list[list[int]], size: int, pad: int) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """Raises ValueError when they do not fit."""
    flat = np.full(size, pad, np.uint16)
    bounds = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    flat[: bounds[-1]] = [token for text in texts for token in text]
    # What fills up is cut as well, so that no piece is longer than the longest text.
    longest = max(map(len, texts))
    filled = np.arange(bounds[-1] + longest, size, longest, dtype=np.int32)
    last = [] if bounds[-1] == size else [size]
    return flat, np.concatenate([bounds, filled, np.array(last, np.int32)])


def sentences(rng: random.Random) -> int:
    """How many a passage of the next batch may have."""
    return rng.choices([count for count, _ in LENGTHS], [share for _, share in LENGTHS])[0]
