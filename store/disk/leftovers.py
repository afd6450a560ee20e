"""The files in `partial/` and which of them can be removed: temporary files, resumable downloads, pins."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from .filesystem import TEMPORARY, FileSystem

PART, PIECES = ".part", ".pieces"
"""The suffixes of a resumable download and of the index of its written pieces."""

KEPT_SECONDS = 14 * 24 * 3600
"""How long a download that is not resumed is kept."""

_EARLIEST = 1_700_000_000  # 2023: older than the store's format, so an earlier time comes from a wrong clock
_DAY = 24 * 3600


class Leftovers:
    """One store's `partial/`."""

    def __init__(self, folder: Path, disk: FileSystem) -> None:
        self._folder = folder
        self._disk = disk

    def abandoned(self) -> Iterator[Path]:
        """What a killed process left and no pull can resume. Safe to remove under the exclusive lock only.

        An empty download is included: it may have reserved disk space for the whole file.
        """
        with os.scandir(self._folder) as entries:
            sizes = {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries}
        for name, size in sorted(sizes.items()):
            noted = name.removesuffix(PIECES)
            orphan = noted != name and sizes.get(f"{noted}{PART}", 0) == 0
            if name.endswith(TEMPORARY) or orphan or (name.endswith(PART) and size == 0):
                yield self._folder / name

    def expired(self, *, reset_clocks: bool) -> list[list[Path]]:
        """Downloads and pins past their time, one list for the files of one download.

        The newest file of a group counts. A time in the future or before 2023 comes from a wrong clock; with
        `reset_clocks` it is set to now, so that the file expires later.
        """
        groups: dict[str, list[tuple[Path, float]]] = defaultdict(list)
        with os.scandir(self._folder) as entries:
            for entry in entries:
                path = Path(entry.path)
                groups[path.stem].append((path, entry.stat(follow_symlinks=False).st_mtime))
        now = time.time()
        found: list[list[Path]] = []
        for group in groups.values():
            newest = max(modified for _, modified in group)
            if not _EARLIEST <= newest <= now + _DAY:
                if reset_clocks:
                    for path, _ in group:
                        os.utime(path, follow_symlinks=False)
            elif now - newest > KEPT_SECONDS and not any(_held(path) for path, _ in group):
                found.append([path for path, _ in group])
        return found

    def remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)  # its writer ends with its daemon, but may take a moment
            else:
                with contextlib.suppress(FileNotFoundError):
                    self._disk.unlink(path)


def _held(path: Path) -> bool:
    """Whether a pull holds the download now."""
    if path.suffix != PART:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
