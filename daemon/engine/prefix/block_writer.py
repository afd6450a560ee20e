"""Writes blocks behind, in a thread of its own that never touches MLX."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread

from .block_file import BlockFile
from .disk_store import DiskStore

_QUEUED = 256 << 20


class BlockWriter:
    """`report` gets one sentence, from that thread, when the disk takes no more: nothing is written from then on.

    At most `queued` bytes wait; what comes when they are there is not written, so that nobody ever waits for the disk.
    """

    def __init__(self, store: DiskStore, report: Callable[[str], None], queued: int = _QUEUED) -> None:
        self._store = store
        self._report = report
        self._most = queued
        self._queue: deque[tuple[BlockFile, Sequence[bytes]]] = deque()
        self._nbytes = 0  # of those that wait, and the one that is written
        self._changed = Condition()
        self._closed = False
        self.stopped = False
        self._thread = Thread(target=self._run, name="prefix-writer", daemon=True)
        self._thread.start()

    @property
    def room(self) -> int:
        """Bytes that `offer` would take at the moment."""
        return 0 if self.stopped or self._closed else self._most - self._nbytes

    def offer(self, file: BlockFile, names: Sequence[bytes]) -> bool:
        """Whether it will be written. `names`: those of its chain up to its own."""
        with self._changed:
            if file.nbytes > self.room:
                return False
            self._queue.append((file, names))
            self._nbytes += file.nbytes
            self._changed.notify_all()
            return True

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was offered is written, at most so many seconds. Whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._nbytes, timeout)

    def close(self, timeout: float | None = None) -> None:
        """Write what waits, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                file, names = self._queue.popleft()
            if not self.stopped:
                self._write(file, names)
            with self._changed:
                self._nbytes -= file.nbytes
                self._changed.notify_all()

    def _write(self, file: BlockFile, names: Sequence[bytes]) -> None:
        try:
            if self._store.write(file):
                self._store.touch(names)
        except OSError as error:
            self.stopped = True
            self._report(f"stop writing prefixes to disk reason={error.strerror or type(error).__name__!r}")
