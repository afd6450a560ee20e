"""Batches made on the fly by worker processes: texts as tokens, each in a row of its own."""

from __future__ import annotations

import multiprocessing
import os
import queue
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.queues import Queue

import numpy as np
from numpy.typing import NDArray

LENGTHS = ((3, 0.72), (9, 0.17), (34, 0.11))  # sentences of a passage at most, share of batches


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
    fresh: bool = True


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


def _work(make: Callable[[str], Iterator[Batch]], seed: str, out: Queue[Batch]) -> None:
    os.nice(5)
    for batch in make(seed):
        out.put(batch)


class Feed:
    """Fresh batches while the workers keep up, old ones again while they do not."""

    def __init__(self, make: Callable[[str], Iterator[Batch]], seed: int, workers: int, keep: int = 400) -> None:
        context = multiprocessing.get_context("fork")
        self._queue: Queue[Batch] = context.Queue(maxsize=workers * 3)
        self._workers = [
            context.Process(target=_work, args=(make, f"{seed} {i}", self._queue), daemon=True) for i in range(workers)
        ]
        for worker in self._workers:
            worker.start()
        self._kept: list[Batch] = []
        self._keep = keep
        self._rng = random.Random(seed)

    def take(self) -> Batch:
        try:
            batch = self._queue.get(timeout=0.02 if len(self._kept) >= 8 else None)
        except queue.Empty:
            batch = self._rng.choice(self._kept)
            batch.fresh = False
            return batch
        if len(self._kept) < self._keep:
            self._kept.append(batch)
        else:
            self._kept[self._rng.randrange(self._keep)] = batch
        return batch

    def close(self) -> None:
        for worker in self._workers:
            worker.terminate()
