"""The folder of prompts on disk: how many bytes all files in it may be, and who goes first. Daemons may share it.

lock             flock, held for a moment by whoever makes room, or gives a file its name, for who counts is to meet
                 each file once; writing and reading need no lock
usage            bytes of all files together, in decimal, as far as the last one who held the lock knew
KEY/NAME.block   of one model and its numerics: published by rename, 0600 in 0700
KEY/NAME.end     the same for a block that a sequence can go on from where others cannot
KEY/*.partial    being written: as long as it will be, and locked by its writer as long as that lives

Knows nothing of what is in the files: `engine/prefix` does. No MLX.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

BLOCK, END = ".block", ".end"
_PARTIAL = ".partial"
_MOST = 8 << 30
_TENTH = 10
_LARGEST_WRITE = 1 << 30  # macOS refuses two GiB and more in one call
_SLACK = 16  # making room frees this part of the budget
_AHEAD = 86400 * 10**9  # nanoseconds that a clock may be set back by
_NEW = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_numbers = count()


def root(home: Path) -> Path:
    """Where it is, in the folder of a user's settings and models."""
    return home / "cache" / "prompts"


def model_of(key: str) -> str:
    """The digest of the model whose files are under this key."""
    return key.partition("-")[0]


def automatic_budget(free: int, held: int) -> int:
    """Bytes for blocks on a disk with so many free: at most 8 GiB, and a tenth of what is free without the `held`
    ones that are there."""
    return min(_MOST, (free + held) // _TENTH)


@dataclass(frozen=True)
class _Entry:
    path: Path
    used: int  # nanoseconds
    nbytes: int


@dataclass(frozen=True)
class Swept:
    """What was taken away, or would be."""

    files: int = 0
    nbytes: int = 0


class Partial:
    """A file that is being written, of its full length already; the descriptor holds its lock."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def write(self, piece: bytes | memoryview) -> None:
        """Raises OSError where the disk does not take it."""
        left = memoryview(piece)
        while left:
            left = left[os.write(self._descriptor, left[:_LARGEST_WRITE]) :]

    def publish(self, path: Path, used: int) -> bool:
        """As used at that time, in nanoseconds. False where something stands in its way that cannot be replaced, such
        as a folder."""
        try:
            os.utime(self._descriptor, ns=(used, used))
            self._path.rename(path)
        except (IsADirectoryError, FileExistsError, FileNotFoundError):
            self.abandon()
            return False
        os.close(self._descriptor)
        return True

    def abandon(self) -> None:
        remove(self._path)
        os.close(self._descriptor)


class PrefixFolder:
    """`budget` bytes for the files of all models together, never exceeded by those who ask here; None: `auto`."""

    def __init__(self, root: Path, budget: int | None) -> None:
        self.root = root
        self._budget = budget
        self._counted = False
        self._keys: dict[str, int] = {}

    def held(self, key: str) -> int:
        """Bytes of one model's files: as they were when they were counted last, and what was written here since."""
        return self._keys.get(key, 0)

    @property
    def private(self) -> bool:
        """Whether it is this user's, and not open to others; also where it is not there yet."""
        try:
            found = self.root.stat()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077

    def count(self) -> None:
        """Look at what there is, and keep to the budget. Raises OSError."""
        with self._locked():
            self._recount(None)

    def reserve(self, key: str, size: int, used: int) -> Partial | None:
        """A file of so many bytes for this model, used at that time in nanoseconds, for which what was used before has
        made room; None where that is not enough: it would be the first to go. Raises OSError where the disk does not
        take it, or the folder is not this user's alone."""
        with self._locked():
            held = self._usage() if self._counted else self._recount(None)
            budget = self._limit(held)
            if held + size > budget:
                held = self._recount(max(0, budget - max(size, budget // _SLACK)), before=used)
            if held + size > budget:
                self._note(held)
                return None
            folder = self.root / key
            folder.mkdir(mode=0o700, exist_ok=True)
            path = folder / f"{os.getpid()}-{next(_numbers)}{_PARTIAL}"
            descriptor = os.open(path, _NEW | os.O_EXCL, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.truncate(descriptor, size)
                self._note(held + size)
            except BaseException:
                Partial(path, descriptor).abandon()
                raise
            self._keys[key] = self.held(key) + size
            return Partial(path, descriptor)

    def publish(self, partial: Partial, path: Path, used: int) -> bool:
        """As `Partial.publish`, while nobody counts: a file that changes its name meanwhile would be missed. Raises
        OSError."""
        with self._locked():
            return partial.publish(path, used)

    def sweep(self, most: int | None = None, unwanted: Callable[[str], bool] | None = None) -> Swept:
        """Take away the files of models that are `unwanted` by their keys, and the least recently used until all
        together have at most so many bytes; None: as the budget says. Raises OSError."""
        if not self.root.is_dir():
            return Swept()
        with self._locked():
            before = list(self._entries())
            self._recount(most, unwanted)
            after = {entry.path for entry in self._entries()}
        gone = [entry for entry in before if entry.path not in after]
        return Swept(len(gone), sum(entry.nbytes for entry in gone))

    def would_sweep(self, unwanted: Callable[[str], bool]) -> Swept:
        """What `sweep` would take away now."""
        entries = sorted(self._entries(), key=lambda entry: entry.used)
        gone = [entry for entry in entries if unwanted(entry.path.parent.name)]
        left = [entry for entry in entries if not unwanted(entry.path.parent.name)]
        held = sum(entry.nbytes for entry in left)
        most = self._limit(sum(entry.nbytes for entry in entries)) if entries else 0
        for entry in left:
            if held <= most:
                break
            held -= entry.nbytes
            gone.append(entry)
        return Swept(len(gone), sum(entry.nbytes for entry in gone))

    # under the lock

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.mkdir(mode=0o700, exist_ok=True)
        if not self.private:
            raise PermissionError(1, "the folder is not this user's alone", str(self.root))
        descriptor = os.open(self.root / "lock", _NEW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _limit(self, held: int) -> int:
        if self._budget is not None:
            return self._budget
        disk = os.statvfs(self.root)
        return automatic_budget(disk.f_bavail * disk.f_frsize, held)

    def _usage(self) -> int:
        with suppress(OSError, UnicodeDecodeError):
            text = (self.root / "usage").read_text()
            if text.isascii() and text.isdigit() and len(text) < 20:
                return int(text)
        return self._recount(None)

    def _note(self, used: int) -> None:
        with open(os.open(self.root / "usage", _NEW | os.O_TRUNC, 0o600), "w") as file:
            file.write(str(used))

    def _recount(
        self, most: int | None, unwanted: Callable[[str], bool] | None = None, before: int | None = None
    ) -> int:
        """Make room, and count what is left. `before`: only what was used before that time makes room."""
        entries = sorted(self._entries(), key=lambda entry: entry.used)
        held = sum(entry.nbytes for entry in entries)
        most = self._limit(held) if most is None else most
        left = []
        for entry in entries:
            over = unwanted is not None and unwanted(entry.path.parent.name)
            over = over or (held > most and (before is None or entry.used < before))
            if over and entry.path.suffix != _PARTIAL and remove(entry.path):
                held -= entry.nbytes
            else:
                left.append(entry)
        keys: dict[str, int] = {}
        for entry in left:
            keys[entry.path.parent.name] = keys.get(entry.path.parent.name, 0) + entry.nbytes
        for folder in self.root.glob("*/"):
            if folder.name not in keys:
                with suppress(OSError):  # not empty
                    folder.rmdir()
        self._keys, self._counted = keys, True
        self._note(held)
        return held

    def _entries(self) -> Iterator[_Entry]:
        """The files of all models, those under way included; what the dead left half written goes."""
        latest = time.time_ns() + _AHEAD
        for path in self.root.glob("*/*"):
            with suppress(OSError):
                found = path.lstat()
                used = found.st_mtime_ns if found.st_mtime_ns < latest else 0  # of a clock that was wrong
                if path.suffix == _PARTIAL and _abandoned(path):
                    remove(path)
                elif path.suffix in (BLOCK, END, _PARTIAL):
                    yield _Entry(path, used, found.st_size)


def remove(path: Path) -> bool:
    """Whether it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError:  # a disk that cannot be written, or a folder
        return False
    return True


def _abandoned(path: Path) -> bool:
    """Whether nobody writes it any more. Raises OSError where it cannot be known."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
