"""The store's lock: flock, shared while reading or pulling, exclusive while sweeping.

The kernel releases it when its holder dies, so locks never become stale. Each use opens the file again, so that
threads of one process exclude each other as processes do.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreBusy

LONGEST_SECONDS = 30.0
"""The default limit: a stopped process that holds the lock must not block the others forever."""
_POLL_SECONDS = 0.05


class Lock:
    """A lock on one file or folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self) -> None:
        """Create the lock's file with mode 0600 whatever the umask; an existing one is not changed."""
        flags = os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags, 0o600)
        except FileExistsError:
            return
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)

    @contextmanager
    def shared(self, wait_seconds: float | None = None) -> Iterator[None]:
        """Waits for a sweep to end, at most `wait_seconds` (None: LONGEST_SECONDS). A read-only store without the file
        cannot be swept, so nothing is locked. Raises StoreBusy."""
        try:
            descriptor = self._open()
        except FileNotFoundError:
            yield
            return
        try:
            _wait(descriptor, fcntl.LOCK_SH, wait_seconds)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def exclusive(self, wait_seconds: float | None = None) -> Iterator[None]:
        """Waits for every other holder, at most `wait_seconds` (None: LONGEST_SECONDS). Raises StoreBusy."""
        descriptor = self._open()
        try:
            _wait(descriptor, fcntl.LOCK_EX, wait_seconds)
            yield
        finally:
            os.close(descriptor)

    def works(self) -> bool:
        """Whether a second holder is really kept out, which some network file systems fail to do.

        Also True when another process holds the lock, because it cannot be tested then.
        """
        first, second = self._open(), self._open()
        try:
            try:
                fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        else:
            return False
        finally:
            os.close(first)
            os.close(second)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _wait(descriptor: int, kind: int, seconds: float | None) -> None:
    deadline = time.monotonic() + (LONGEST_SECONDS if seconds is None else seconds)
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _busy(kind) from None
        time.sleep(_POLL_SECONDS)


def _busy(kind: int) -> StoreBusy:
    if kind == fcntl.LOCK_SH:
        return StoreBusy(
            "the model store is being cleaned up by `mlx-serve gc`, or held by another daemon",
            hint="try again in a moment",
        )
    return StoreBusy(
        "the model store is in use by a pull or by another daemon", hint="try again when the pull has finished"
    )
