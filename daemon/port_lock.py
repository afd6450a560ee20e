"""One daemon per home and port: a lock that the kernel releases when its holder ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


class AlreadyRunning(Exception):
    """`pid` is the holder's, where the file says it."""

    def __init__(self, port: int, pid: int | None) -> None:
        super().__init__(f"a daemon for port {port} is already running" + (f", pid {pid}" if pid else ""))
        self.pid = pid


class PortLock:
    """Held until `release`. The pid in the file is for messages only."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, folder: Path, port: int) -> PortLock:
        """Raises AlreadyRunning, OSError."""
        path = folder / f"{port}.lock"
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.read(descriptor, 20).decode("ascii", "replace").strip()
                os.close(descriptor)
                raise AlreadyRunning(port, int(pid) if pid.isdigit() else None) from None
            except OSError:
                os.close(descriptor)
                raise
            if _is_still(path, descriptor):
                break
            os.close(descriptor)  # its last holder removed it between our open and our lock
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return cls(path, descriptor)

    def release(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
