"""Bytes that several threads fetch, added up."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ...store.progress import Progress, Report


class ByteCounter:
    """`total` never falls. Reports come from the threads of several pulls at once, hence the lock."""

    def __init__(self) -> None:
        self.total = 0
        self._lock = threading.Lock()

    def counting(self, report: Report) -> Callable[[Progress], None]:
        """A report that counts what is fetched before it passes it on: of one pull, or of several one after another."""
        before = 0

        def forward(progress: Progress) -> None:
            nonlocal before
            with self._lock:
                self.total += max(0, progress.fetched - before)
            before = progress.fetched
            report(progress)

        return forward
