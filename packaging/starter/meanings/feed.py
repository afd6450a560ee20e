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

GROUP_ROWS = ((96, 3, 0.82), (256, 9, 0.11), (1024, 34, 0.07))  # tokens of a row, sentences at most, share


@dataclass
class Batch:
    """`ids` are rows behind each other, filled up at the end; `ends` point to the last token of each.

    `clash[i, j]` says that text j answers query i; only the embedding model has one. `spots` are tokens whose next
    one the reranker guesses while it learns the words. `labels` number the domains.
    """

    row: int
    groups: int
    ids: NDArray[np.uint16]
    ends: NDArray[np.int32]
    labels: NDArray[np.int16]
    clash: NDArray[np.bool_] | None = None
    spots: NDArray[np.int32] | None = None
    fresh: bool = True


def laid_out(texts: list[list[int]], row: int, pad: int) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    ids = np.full((len(texts), row), pad, np.uint16)
    ends = np.empty(len(texts), np.int32)
    for i, tokens in enumerate(texts):
        ids[i, : len(tokens)] = tokens
        ends[i] = i * row + len(tokens) - 1
    return ids.reshape(-1), ends


def size_of_batch(rng: random.Random) -> tuple[int, int]:
    """Tokens of a row, and how many sentences a passage may have in it."""
    row, sentences, _ = rng.choices(GROUP_ROWS, [share for *_, share in GROUP_ROWS])[0]
    return row, sentences


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
