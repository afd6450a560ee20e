"""Writes blocks behind, in a thread of its own that never touches MLX."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from threading import Condition, Thread

from .block_file import BlockFile
from .disk_store import DiskStore

_QUEUED = 64 << 20
_PAUSE, _LONGEST_PAUSE = 60.0, 3600.0  # seconds; each is twice the one before until something is written


class BlockWriter:
    """`report` gets one sentence, from that thread, when the disk takes no more: nothing is written then for a while,
    by `clock`, in seconds.

    At most `queued` bytes wait, or one block; what comes when they are there is not written, so that nobody ever waits
    for the disk. `done` are the files that it has let go, written or not; `missing` the names that it was to touch, and
    that are not on disk, with the times of their use. Whoever takes from these two does so from the left.
    """

    def __init__(
        self,
        store: DiskStore,
        report: Callable[[str], None],
        queued: int = _QUEUED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._report = report
        self._most = queued
        self._clock = clock
        self._counted = False
        self._pause = _PAUSE
        self._paused_until: float | None = None
        self._queue: deque[tuple[BlockFile, int] | Sequence[bytes]] = deque()
        self.done: deque[BlockFile] = deque()
        self.missing: deque[tuple[bytes, int]] = deque()
        self._nbytes = 0  # of those that wait, and the one that is written
        self._changed = Condition()
        self._closed = False
        self._thread = Thread(target=self._run, name="prefix-writer", daemon=True)
        self._thread.start()

    @property
    def nbytes(self) -> int:
        """Of what waits, and what is being written."""
        return self._nbytes

    @property
    def stopped(self) -> bool:
        """Whether the disk took no more the last time, which was not long ago."""
        return self._paused_until is not None and self._clock() < self._paused_until

    @property
    def open(self) -> bool:
        """Whether anything is still written."""
        return not (self.stopped or self._closed)

    def has_room(self, nbytes: int, beside: int = 0) -> bool:
        """Whether `offer` would take a file of so many bytes, after others of so many."""
        held = self._nbytes + beside
        return self.open and (not held or held + nbytes <= self._most)

    def offer(self, file: BlockFile, used: int | None = None) -> bool:
        """Whether it will be written. `used`: as in DiskStore."""
        with self._changed:
            if not self.has_room(file.nbytes):
                return False
            self._queue.append((file, time.time_ns() if used is None else used))
            self._nbytes += file.nbytes
            self._changed.notify_all()
            return True

    def touch(self, names: Sequence[bytes]) -> None:
        """These blocks of one chain, from its beginning on, are used."""
        with self._changed:
            if self.open:
                self._queue.append(list(names))
                self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Until something is written, or for so long."""
        with self._changed:
            self._changed.wait(seconds)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was offered is written, at most so many seconds. Whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._nbytes and not self._queue, timeout)

    def close(self, timeout: float | None = None) -> None:
        """Write what waits, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        self._try(self._count)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                work = self._queue[0]
            if not self.stopped:
                self._try(partial(self._do, work))
            with self._changed:
                self._queue.popleft()
                if isinstance(work, tuple):
                    self._nbytes -= work[0].nbytes
                    self.done.append(work[0])
                del work
                self._changed.notify_all()

    def _count(self) -> None:
        self._store.files.count()
        self._counted = True

    def _do(self, work: tuple[BlockFile, int] | Sequence[bytes]) -> None:
        if not self._counted:
            self._count()
        if not isinstance(work, tuple):
            self.missing.extend(self._store.touch(work))
        elif self._store.write(*work):
            self._pause = _PAUSE

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # the engine must not wait for a thread that is gone
            reason = getattr(error, "strerror", None) or type(error).__name__
            self._report(f"stop writing prompts to disk reason={reason!r} retry_seconds={self._pause:.0f}")
            self._paused_until = self._clock() + self._pause
            self._pause = min(_LONGEST_PAUSE, 2 * self._pause)
