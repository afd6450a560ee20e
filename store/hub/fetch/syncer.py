"""Makes durable what large files have received, while they go on: a power loss then costs little, and the end need not
wait for gigabytes."""

from __future__ import annotations

import threading
from typing import Protocol
from weakref import WeakKeyDictionary

from .file_task import Task

_EVERY = 128 << 20
_SECONDS = 0.25


class Desk(Protocol):
    """What the thread needs to know of the download."""

    stopped: bool

    def tasks(self) -> list[Task]: ...
    def fail(self, error: BaseException) -> None: ...


class Syncer(threading.Thread):
    """Ends a moment after the desk has stopped; nobody waits for it, for a sync cannot be interrupted."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(name="hub-sync", daemon=True)
        self._desk = desk
        self._synced: WeakKeyDictionary[Task, int] = WeakKeyDictionary()
        self._over = threading.Event()

    def end(self) -> None:
        self._over.set()

    def run(self) -> None:
        while not self._over.wait(_SECONDS):
            for task in self._desk.tasks():
                done = task.done
                if done - self._synced.get(task, 0) < _EVERY or self._over.is_set():
                    continue
                try:
                    task.partial.sync()
                except OSError as error:
                    # What was not written may be lost for good, so nothing of it can be believed.
                    task.partial.discard()
                    return self._desk.fail(error)
                self._synced[task] = done
        return None
