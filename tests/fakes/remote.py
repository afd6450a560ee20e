"""A store whose pulls do what the test says, step by step."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

from fakes.store import FakeStore

from mlx_serve.store.disk.manifests import Source
from mlx_serve.store.progress import Progress

ORIGIN = Source(kind="hub", location="acme/a", revision="c" * 40)


class RemoteStore(FakeStore):
    """`steps`: a Progress is reported, an exception raised, None ends the pull. `began` and `ended` count pulls."""

    def __init__(self) -> None:
        super().__init__(script=self._script)
        self.steps: queue.Queue[Progress | Exception | None] = queue.Queue()

    def _script(self, source: str) -> Iterator[Progress | Exception]:
        while True:
            try:
                step = self.steps.get(timeout=0.01)
            except queue.Empty:
                step = Progress("waiting", path="idle")  # as a real pull does, which hears so that nobody waits for it
            if step is None:
                return
            yield step

    def origin(self, source: str, **options: Any) -> Source:
        return ORIGIN
