"""What lies in `partial/` and whether anybody can still use it: files in flight, resumable downloads, promises."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from .filesystem import TEMPORARY, Disk

PART, PIECES = ".part", ".pieces"
"""The endings of a download that can be resumed, and of the note that says which pieces of it are there."""

KEPT_SECONDS = 14 * 24 * 3600
"""How long a download that nobody resumed is kept."""

_EARLIEST = 1_700_000_000  # 2023: before there was such a store, so a clock that said less was wrong
_DAY = 24 * 3600


class Leftovers:
    """One store's `partial/`."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk

    def dead(self) -> Iterator[Path]:
        """What a killed process left and nobody can resume. Only under the exclusive lock nobody is about to use it.

        A download of which nothing has come is one: it may hold the room for all of it.
        """
        with os.scandir(self._folder) as entries:
            sizes = {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries}
        for name, size in sorted(sizes.items()):
            noted = name.removesuffix(PIECES)
            orphan = noted != name and sizes.get(f"{noted}{PART}", 0) == 0
            if name.endswith(TEMPORARY) or orphan or (name.endswith(PART) and size == 0):
                yield self._folder / name

    def old(self, *, settle: bool) -> list[list[Path]]:
        """What nobody came back to, one list for the files of one download.

        Of files that belong together the newest counts. A time that no right clock can have written says nothing; with
        `settle` such a file is taken to be from now, so that it goes when its time has come.
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
                if settle:
                    for path, _ in group:
                        os.utime(path, follow_symlinks=False)
            elif now - newest > KEPT_SECONDS and not any(_held(path) for path, _ in group):
                found.append([path for path, _ in group])
        return found

    def remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)  # its writer dies with its daemon, but maybe a moment later
            else:
                with contextlib.suppress(FileNotFoundError):
                    self._disk.unlink(path)


def _held(path: Path) -> bool:
    """Whether somebody writes to a download now."""
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
