"""Batches made on the fly by worker processes."""

from __future__ import annotations

import multiprocessing
import os
import queue
import random
from collections.abc import Callable, Iterator
from multiprocessing.queues import Queue
from typing import Any

Make = Callable[[str], Iterator[Any]]  # from a seed


def _work(make: Make, seed: str, out: Queue[Any]) -> None:
    os.nice(5)
    for batch in make(seed):
        out.put(batch)


class Feed:
    """Fresh batches while the workers keep up, old ones again while they do not."""

    def __init__(self, make: Make, seed: int, workers: int, keep: int = 400) -> None:
        context = multiprocessing.get_context("fork")
        self._queue: Queue[Any] = context.Queue(maxsize=workers * 3)
        self._workers = [
            context.Process(target=_work, args=(make, f"{seed} {i}", self._queue), daemon=True) for i in range(workers)
        ]
        for worker in self._workers:
            worker.start()
        self._kept: list[Any] = []
        self._keep = keep
        self._rng = random.Random(seed)

    def take(self) -> tuple[Any, bool]:
        """A batch, and whether it is fresh."""
        try:
            batch = self._queue.get(timeout=0.02 if len(self._kept) >= 8 else None)
        except queue.Empty:
            return self._rng.choice(self._kept), False
        if len(self._kept) < self._keep:
            self._kept.append(batch)
        else:
            self._kept[self._rng.randrange(self._keep)] = batch
        return batch, True

    def close(self) -> None:
        for worker in self._workers:
            worker.terminate()
