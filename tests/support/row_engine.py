"""A worker of rows in this process: requests in, their last events out."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.waiting import GUARD

from mlx_serve.daemon.engine.embed.embedder import load_embedder
from mlx_serve.daemon.engine.encode.row_worker import RowWorker
from mlx_serve.daemon.engine.prompt.main import preparer_of
from mlx_serve.daemon.engine.prompt.prompt_frames import pack
from mlx_serve.daemon.engine.prompt.prompt_process import Ready
from mlx_serve.daemon.engine.prompt.refused import Refused
from mlx_serve.daemon.engine.prompt.text.encoding import open_encoding, tokenizer_data
from mlx_serve.daemon.engine.rerank.reranker import load_reranker
from mlx_serve.daemon.protocol import (
    Ask,
    Count,
    Counted,
    Detokenize,
    Detokenized,
    Embed,
    Embedded,
    Event,
    Kind,
    Load,
    Ranked,
    Rerank,
    Started,
    Work,
)

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


class PromptsHere:
    """Stands for the prompt process: what it has for this model, in this process. `hold` keeps parts back."""

    def __init__(self, tokenizer: Any, model: Any, deliver: Callable[[Any], None]) -> None:
        data = tokenizer_data(tokenizer)
        self.preparer = preparer_of(data, model, open_encoding(data))
        self._deliver = deliver
        self._inside: set[int] = set()
        self.asked: list[Ask] = []
        self.hold = False

    def put(self, ask: Ask) -> None:
        self._inside.add(ask.id)
        self.asked.append(ask)
        if not self.hold:
            self.answer(ask)

    def answer(self, ask: Ask) -> None:
        try:
            if isinstance(ask.work, Count):
                found = self.preparer.count(ask.work)
                self._deliver(Counted(id=ask.id, counts=tuple(map(len, found)), tokens=tuple(map(pack, found))))
            elif isinstance(ask.work, Detokenize):
                self._deliver(Detokenized(id=ask.id, texts=tuple(self.preparer.detokenize(ask.work))))
            else:
                self._deliver(Ready(ask.id, self.preparer.prepare(ask.work)))
        except Refused as refused:
            self._deliver(refused.rejected(ask.id))

    def cancel(self, number: int) -> bool:
        known = number in self._inside
        self._inside.discard(number)
        return known

    def claim(self, number: int) -> bool:
        return self.cancel(number)

    @property
    def busy(self) -> int:
        return len(self._inside)


class RowEngine:
    """`events` is everything that came out, in order, but for the notes in `started` of who has left the queue."""

    def __init__(self, load: Callable[..., tuple[Any, Any]], wanted: Load, memory: int | None = None) -> None:
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        tokenizers: list[Any] = []
        self.task, self.loaded = load(wanted, lambda tokenizer, *_: tokenizers.append(tokenizer))
        self.prompts = PromptsHere(tokenizers[0], self.task.texts, self._inbox.put)
        self.worker = RowWorker(self.task, memory, self.prompts)  # type: ignore[arg-type]
        self.events: dict[int, list[Event]] = {}
        self.started: list[int] = []
        self._next = 0

    @classmethod
    def embedding(cls, folder: Path, **options: Any) -> RowEngine:
        return cls(load_embedder, order(folder, "embedding", **options))

    @classmethod
    def reranking(cls, folder: Path, **options: Any) -> RowEngine:
        return cls(load_reranker, order(folder, "reranker", **options))

    def put(self, work: Work) -> int:
        self._next += 1
        self.worker.admit(Ask(id=self._next, work=work))
        return self._next

    def step(self) -> None:
        """One round of the loop."""
        while not self._inbox.empty():
            self.worker.receive(self._inbox.get())
        self.worker.step()
        self._ready()

    def _ready(self) -> None:
        for event in self.worker.drain():
            if isinstance(event, Started):
                self.started.append(event.id)
            else:
                self.events.setdefault(event.id, []).append(event)

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
