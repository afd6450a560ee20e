"""Syncs large files while they are downloaded: a power loss then costs little, and the last sync is short."""

from __future__ import annotations

import threading
from typing import Protocol
from weakref import WeakKeyDictionary

from .file_task import FileTask

_SYNC_BYTES = 128 << 20
_POLL_SECONDS = 0.25


class TaskList(Protocol):
    """The files of a download, and where to report a failure."""

    def tasks(self) -> list[FileTask]: ...
    def fail(self, error: BaseException) -> None: ...


class Syncer(threading.Thread):
    """Ends soon after `end`; it is not joined, because a sync cannot be interrupted."""

    def __init__(self, download: TaskList) -> None:
        super().__init__(name="hub-sync", daemon=True)
        self._download = download
        self._synced: WeakKeyDictionary[FileTask, int] = WeakKeyDictionary()
        self._ended = threading.Event()

    def end(self) -> None:
        self._ended.set()

    def run(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            for task in self._download.tasks():
                done = task.done
                if done - self._synced.get(task, 0) < _SYNC_BYTES or self._ended.is_set():
                    continue
                try:
                    task.partial.sync()
                except OSError as error:
                    # After a failed sync the kernel may have dropped any of the written pages.
                    task.partial.discard()
                    return self._download.fail(error)
                self._synced[task] = done
        return None
