"""Hashes a file while it is downloaded, in order: from the buffers, or from the disk where it lags behind."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..repository import HubFile
from .partial import Partial

BUFFER = 2 << 20
_MAX_QUEUED = 4
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Digests:
    """Of a whole file, in hex; `git` only where the hub states no sha256."""

    sha256: str
    git: str | None

    def matches(self, file: HubFile) -> bool:
        return self.sha256 == file.sha256 if file.sha256 is not None else self.git == file.git_id


class BufferPool:
    """A fixed number of buffers for all bytes in flight, so that memory stays bounded.

    They are mapped: memory that threads free on the heap may never go back to the system.
    """

    def __init__(self, count: int) -> None:
        self._free: deque[memoryview] = deque()
        self._left = count
        self._closed = False
        self._changed = threading.Condition()

    def take(self, stopped: Callable[[], bool]) -> memoryview | None:
        """None when `stopped` turned true while all buffers were in use."""
        with self._changed:
            while not self._free and not self._left:
                if stopped():
                    return None
                self._changed.wait(_POLL_SECONDS)
            if self._free:
                return self._free.pop()
            self._left -= 1
        return new_buffer()

    def release(self, buffer: memoryview) -> None:
        with self._changed:
            if not self._closed:
                self._free.append(buffer)
                self._changed.notify()

    def close(self) -> None:
        """Give the memory back now instead of at the next garbage collection."""
        with self._changed:
            self._closed = True
            self._free.clear()


def new_buffer() -> memoryview:
    return memoryview(mmap.mmap(-1, BUFFER, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class Hasher:
    """Hashes one file in a thread of its own, and calls `finished` from there with the digests or with the exception.

    It needs the bytes in the partial file; `feed` only saves reading them back.
    """

    def __init__(
        self,
        partial: Partial,
        file: HubFile,
        buffers: BufferPool,
        finished: Callable[[Digests | BaseException], None],
    ) -> None:
        self._partial = partial
        self._size = file.size
        self._buffers = buffers
        self._finished = finished
        self._sha256 = hashlib.sha256()
        self._git = None if file.sha256 is not None else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        self._queue: deque[tuple[memoryview, int]] = deque()
        self._changed = threading.Condition()
        self._claimed = 0  # bytes before it are hashed, queued or being read
        self._hashed = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="hub-hash", daemon=True)
        self._thread.start()

    def feed(self, position: int, buffer: memoryview, count: int) -> None:
        """Bytes that were just written. Takes the buffer over; waits while the front of the file outruns hashing."""
        with self._changed:
            while position == self._claimed and len(self._queue) >= _MAX_QUEUED and not self._stopped:
                self._changed.wait(_POLL_SECONDS)
            if position == self._claimed and not self._stopped:
                self._claimed += count
                self._queue.append((buffer, count))
                self._changed.notify_all()
                return
            self._changed.notify_all()
        self._buffers.release(buffer)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        while self._queue:
            self._buffers.release(self._queue.popleft()[0])

    def _run(self) -> None:
        try:
            done = self._hash_all()
        except BaseException as error:
            self._finished(error)
            return
        if done:
            git = self._git.hexdigest() if self._git is not None else None
            self._finished(Digests(self._sha256.hexdigest(), git))

    def _hash_all(self) -> bool:
        own: memoryview | None = None
        while self._hashed < self._size:
            with self._changed:
                if self._stopped:
                    return False
                if self._queue:
                    buffer, count = self._queue.popleft()
                    self._changed.notify_all()
                    start = -1
                else:
                    start = self._claimed
                    count = min(self._partial.reach(start) - start, BUFFER)
                    if count == 0:
                        self._changed.wait(_POLL_SECONDS)
                        continue
                    self._claimed += count
            if start >= 0:
                own = own or new_buffer()
                buffer = own[:count]
                self._read(start, buffer)
            self._update(buffer[:count])
            if start < 0:
                self._buffers.release(buffer)
        return True

    def _read(self, start: int, buffer: memoryview) -> None:
        done = 0
        while done < len(buffer):
            count = os.preadv(self._partial.descriptor, [buffer[done:]], start + done)
            if count == 0:
                raise OSError(errno.EIO, "the file became shorter while it was being read")
            done += count

    def _update(self, data: memoryview) -> None:
        self._sha256.update(data)
        if self._git is not None:
            self._git.update(data)
        self._hashed += len(data)
