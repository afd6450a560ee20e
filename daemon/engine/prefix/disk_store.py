"""Blocks in files that several daemons may share, within a number of bytes, the least recently used going first.

No MLX. Whatever is wrong with a file makes it a miss, and takes it away. Files are not synced: after a power cut one
may be short, which its checksum tells.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from pathlib import Path

import msgspec

from .block_file import MAGIC, BlockFile, DamagedBlock, decode, encode

_MOST = 8 << 30
_TENTH = 10
_SLACK = 16  # a sweep makes room for this part of the budget
_SUFFIX = ".block"
_PARTIAL = ".partial"
_ABANDONED = 3600  # seconds after which nobody writes a partial file any more
_numbers = count()


def automatic_budget(free: int, held: int) -> int:
    """Bytes for blocks on a disk with so many free: at most 8 GiB, and a tenth of what is free without the `held`
    ones that are there."""
    return min(_MOST, (free + held) // _TENTH)


class Numerics(msgspec.Struct, frozen=True):
    """What the content of a block depends on beside its tokens: only equal ones may share files."""

    model: str  # digest of its manifest
    dtype: str  # of the caches
    mlx: str  # version
    backend: str

    def key(self) -> str:
        """Of these and the format of the files, as a folder's name."""
        return blake2b(MAGIC + msgspec.json.encode(self), digest_size=16).hexdigest()


@dataclass(frozen=True)
class _Entry:
    path: Path
    used: int  # nanoseconds
    nbytes: int


class DiskStore:
    """The blocks of one key in a folder below `root`. `budget`: bytes for those of all keys; each other daemon that
    writes at the same time may exceed it by a sixteenth before it is noticed."""

    def __init__(self, root: Path, key: str, budget: int) -> None:
        self.root = root
        self.key = key
        self.budget = budget
        self.folder = root / key
        self._held: int | None = None  # bytes at the last sweep and written since
        self._written = 0  # bytes since then

    def has(self, name: bytes) -> bool:
        """Whether there is a file of that name; reading it may still be a miss."""
        return self._path(name).is_file()

    def read(self, name: bytes) -> BlockFile | None:
        """None where it is not there, or is not what it should be; then it is gone."""
        path = self._path(name)
        try:
            return decode(_content(path, self.budget), self.key, name)
        except DamagedBlock:
            _remove(path)
        except OSError:  # gone, a link, or not to be read
            pass
        return None

    def write(self, file: BlockFile) -> bool:
        """False where it is here already, or larger than the budget. Raises OSError where the disk does not take it;
        then nothing of it is left."""
        size = sum(map(len, pieces := encode(file)))
        if size > self.budget or self.has(file.header.name):
            return False
        self._make_room(size)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        partial = self.folder / f"{os.getpid()}-{next(_numbers)}-{file.header.name.hex()}{_PARTIAL}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            with open(os.open(partial, flags, 0o600), "wb", buffering=0) as target:
                for piece in pieces:
                    _write_all(target.fileno(), piece)
            partial.rename(self._path(file.header.name))
        except BaseException:
            _remove(partial)
            raise
        self._held = (self._held or 0) + size
        self._written += size
        return True

    def touch(self, names: Sequence[bytes]) -> None:
        """These blocks of one chain, in their order, were used just now: what follows others goes before them."""
        now = time.time_ns()
        for place, name in enumerate(names):
            with suppress(OSError):  # swept, or a disk that cannot be written
                used = now - place * 1000
                os.utime(self._path(name), ns=(used, used), follow_symlinks=False)

    def sweep(self, budget: int | None = None) -> int:
        """Take away the least recently used until all keys together have at most so many bytes, and what writers
        left behind when they died. Gives the bytes that remain."""
        most = self.budget if budget is None else budget
        entries = sorted(_entries(self.root), key=lambda entry: entry.used)
        held = sum(entry.nbytes for entry in entries)
        for entry in entries:
            if held <= most:
                break
            if _remove(entry.path):
                held -= entry.nbytes
        self._held, self._written = held, 0
        return held

    def _make_room(self, size: int) -> None:
        slack = self.budget // _SLACK
        if self._held is None or self._written > slack:
            self.sweep()
        if (self._held or 0) + size > self.budget:
            self.sweep(max(0, self.budget - max(size, slack)))

    def _path(self, name: bytes) -> Path:
        return self.folder / f"{name.hex()}{_SUFFIX}"


def _content(path: Path, most: int) -> bytes:
    """Of a plain file of at most so many bytes."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with open(os.open(path, flags), "rb", buffering=0) as source:
        found = os.fstat(source.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise DamagedBlock("it is no file of a block")
        return source.readall()


def _write_all(descriptor: int, piece: bytes | memoryview) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(descriptor, left) :]


def _entries(root: Path) -> list[_Entry]:
    """Blocks of all keys. Partial files that nobody writes any more are taken away."""
    found = []
    now = time.time()
    for path in root.glob("*/*"):
        with suppress(FileNotFoundError):
            status = path.lstat()
            if path.suffix == _SUFFIX:
                found.append(_Entry(path, status.st_mtime_ns, status.st_size))
            elif path.suffix == _PARTIAL and now - status.st_mtime > _ABANDONED:
                _remove(path)
    return found


def _remove(path: Path) -> bool:
    """Whether it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError:  # a disk that cannot be written, or a folder
        return False
    return True
