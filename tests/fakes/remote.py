"""A store whose pulls do what the test says, step by step."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from fakes.store import FakeStore

from mlx_serve.store.disk.manifests import Source
from mlx_serve.store.names import Name
from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Installed

ORIGIN = Source(kind="hub", location="acme/a", revision="c" * 40)


class RemoteStore(FakeStore):
    """`steps`: a Progress is reported, an exception raised, None ends the pull. `began` and `ended` count pulls."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: queue.Queue[Progress | Exception | None] = queue.Queue()
        self.began = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.options: list[dict[str, Any]] = []
        self.removed: list[str] = []
        self.verifies = True
        self.renamed: dict[str, str] = {}

    def models(self) -> list[Installed]:
        return list(self.models_by_name.values())

    def origin(self, source: str, **options: Any) -> Source:
        return ORIGIN

    def verify(self, name: str, progress: Callable[[int, int], None]) -> list[SimpleNamespace]:
        progress(1, 1)
        return [SimpleNamespace(ok=self.verifies)]

    def remove(self, name: str, protect: object = ()) -> None:
        self.removed.append(name)
        self.models_by_name.pop(Name.parse(name).display())

    def pull(self, source: str, *, progress: Callable[[Progress], None] = lambda _: None, **options: Any) -> Installed:
        self.pulls.append(source)
        self.options.append(options)
        self.began.release()
        try:
            while True:
                try:
                    step = self.steps.get(timeout=0.01)
                except queue.Empty:
                    progress(
                        Progress("waiting", path="idle")
                    )  # as a real pull does: this is how it hears that nobody waits
                    continue
                if step is None:
                    return self.add(options.get("name") or self.renamed.get(source, source))
                if isinstance(step, Exception):
                    raise step
                progress(step)
        finally:
            self.ended.release()
