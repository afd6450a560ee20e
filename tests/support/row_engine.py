"""A worker of rows in this process: requests in, their last events out."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.waiting import GUARD

from mlx_serve.daemon.engine.embed.embedder import load_embedder
from mlx_serve.daemon.engine.encode.row_worker import RowWorker
from mlx_serve.daemon.engine.rerank.reranker import load_reranker
from mlx_serve.daemon.protocol import Ask, Embed, Embedded, Event, Kind, Load, Ranked, Rerank, Work

Floats = NDArray[np.float32]


def order(folder: Path, kind: Kind, name: str = "local/test", context_length: int | None = None) -> Load:
    return Load(
        path=str(folder),
        name=name,
        kind=kind,
        max_batch=8,
        prefill_tokens_per_step=512,
        context_length=context_length,
    )


class RowEngine:
    """`events` is everything that came out, in order; `steps` counts what the worker did."""

    def __init__(self, task: Any, memory: int | None = None) -> None:
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.task = task
        self.worker = RowWorker(task, memory, self._inbox.put)
        self.events: dict[int, list[Event]] = {}
        self._next = 0

    @classmethod
    def embedding(cls, folder: Path, **options: Any) -> RowEngine:
        return cls(load_embedder(order(folder, "embedding", **options))[0])

    @classmethod
    def reranking(cls, folder: Path, **options: Any) -> RowEngine:
        return cls(load_reranker(order(folder, "reranker", **options))[0])

    def put(self, work: Work) -> int:
        self._next += 1
        self.worker.admit(Ask(id=self._next, work=work))
        return self._next

    def step(self) -> None:
        """One round of the loop; waits for the prompts' thread where there is nothing else to do."""
        wait = self.worker.idle and not self._ready()
        try:
            while True:
                self.worker.receive(self._inbox.get(block=wait, timeout=GUARD))
                wait = False
        except queue.Empty:
            if wait:
                raise AssertionError("the worker waits for nothing") from None
        self.worker.step()
        self._ready()

    def _ready(self) -> bool:
        fresh = self.worker.drain()
        for event in fresh:
            self.events.setdefault(event.id, []).append(event)
        return bool(fresh)

    def finish(self, numbers: Iterable[int]) -> list[Event]:
        """The last event of each of these requests."""
        wanted = list(numbers)
        deadline = time.monotonic() + GUARD
        self._ready()
        while not all(number in self.events for number in wanted):
            assert time.monotonic() < deadline, "the requests do not end"
            self.step()
        return [self.events[number][-1] for number in wanted]

    def ask(self, *works: Work) -> list[Any]:
        """The last event of each, all under way together."""
        return self.finish([self.put(work) for work in works])

    def vectors(self, *texts: str, **options: Any) -> Floats:
        return matrix(self.ask(Embed(texts=texts, **options))[0])

    def logits(self, query: str, *documents: str, **options: Any) -> Floats:
        (event,) = self.ask(Rerank(query=query, documents=documents, **options))
        assert isinstance(event, Ranked), event
        return np.array(event.logits, np.float32)


def matrix(event: Event) -> Floats:
    assert isinstance(event, Embedded), event
    return np.frombuffer(event.vectors, "<f4").reshape(-1, event.dimensions)
