"""Private folders in the system's temporary directory, removed also when their owner was killed.

The owner holds an flock on its folder and may pass the descriptor to a child process. The kernel releases the lock when
the last holder ends, however it ends; `sweep` removes folders without a holder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

CHILD = "mlx-serve-child-"
VIEWS = "mlx-serve-views-"
_ATTEMPTS = 10


@dataclass(frozen=True)
class Scratch:
    """One such folder, of mode 0700. `descriptor` holds the lock and is closed by `remove`."""

    path: Path
    descriptor: int

    @classmethod
    def make(cls, prefix: str) -> Scratch:
        """Raises OSError."""
        for _ in range(_ATTEMPTS):
            path = Path(tempfile.mkdtemp(prefix=prefix))
            made = _locked(path)
            if made is not None:
                return cls(path, made)
        raise OSError(f"no temporary folder {prefix}… could be locked")

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.descriptor)


def sweep(*prefixes: str) -> int:
    """Remove this user's folders whose owners were killed; returns how many."""
    removed = 0
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as listing:
        for entry in listing:
            if entry.name.startswith(prefixes):
                removed += _sweep(Path(entry.path))
    return removed


def _sweep(path: Path) -> bool:
    try:
        descriptor = _locked(path)
    except OSError:
        return False  # another user's, not a folder, or on a file system without locks
    if descriptor is None:
        return False
    Scratch(path, descriptor).remove()
    return not path.exists()


def _locked(path: Path) -> int | None:
    """A descriptor that holds the folder's lock; None when it is locked or removed already. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there, held = path.lstat(), os.fstat(descriptor)
        if os.path.samestat(there, held) and stat.S_ISDIR(held.st_mode) and held.st_uid == os.geteuid():
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
