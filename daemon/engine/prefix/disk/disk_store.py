"""Blocks in files that several daemons may share, within a number of bytes, the least recently used going first.

No MLX. Whatever is wrong with a file makes it a miss, and takes it away. Files are not synced: after a power cut one
may be short, which its checksums tell.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import msgspec

from ....prefix_folder import BLOCK, END, PrefixFolder, remove
from ..chain import ROOT
from .block_file import MAGIC, BlockFile, DamagedBlock, Room, encode, read

ARITHMETIC = 2
"""Raised when the engine computes keys, values or states in another way than before."""

APART = 1000
"""Nanoseconds by which a block is used before the one that it follows: so it goes first."""

_LARGEST = 4 << 30
_T = TypeVar("_T")


class Numerics(msgspec.Struct, frozen=True):
    """What the content of a block depends on beside its tokens: only equal ones may share files."""

    model: str  # digest of its manifest
    layout: str  # of the caches: types and shapes
    libraries: tuple[str, ...]  # with their versions
    backend: str
    device: str
    bits: int | None = None  # of columns in files; None: as many as in memory
    arithmetic: int = ARITHMETIC

    def key(self) -> str:
        """Of these and the format of the files, as a folder's name that begins with the model's digest."""
        rest = blake2b(MAGIC + msgspec.json.encode(self), digest_size=12).hexdigest()
        return f"{self.model}-{rest}"


class DiskStore:
    """The blocks of one key in a folder below `root`. `budget`: bytes for those of all keys, None for `auto`;
    `largest`: bytes that no file of a block has; `packed`: their columns are written in 8 bits."""

    def __init__(
        self, root: Path, key: str, budget: int | None, largest: int = _LARGEST, *, packed: bool = False
    ) -> None:
        self.key = key
        self.packed = packed
        self.files = PrefixFolder(root, budget)
        self.folder = root / key
        self._beginning = f"{self.folder}{os.sep}"
        self._largest = largest
        self.readable = self.files.private

    @property
    def nbytes(self) -> int:
        """Of its files, as far as is known."""
        return self.files.held(self.key)

    def has(self, name: bytes, *, end: bool = False) -> bool:
        """Whether there is a file of that name, of an `end`; reading it may still be a miss. Asked hundreds of times
        for one prompt, beside those who decode."""
        try:
            return stat.S_ISREG(os.lstat(f"{self._beginning}{name.hex()}{END if end else BLOCK}").st_mode)
        except OSError:
            return False

    def read(self, name: bytes, room: Room | None = None) -> BlockFile | None:
        """Its columns go into the room, where there is one. None where it is not there, or is not what it should be;
        then it is gone."""
        return self._read(name, room, end=True) or self._read(name, room, end=False)

    def _read(self, name: bytes, room: Room | None, *, end: bool) -> BlockFile | None:
        def look(descriptor: int, size: int) -> BlockFile:
            file = read(descriptor, size, self.key, name, room)
            if (file.header.snapshots is not None) != end:
                raise DamagedBlock("it is of another kind")
            return file

        return self._look(self._path(name, end=end), look)

    def _look(self, path: Path, look: Callable[[int, int], _T]) -> _T | None:
        """At a file, by its descriptor and its size. None where it is not there, or is damaged; then it is gone."""
        try:
            with _opened(path, self._largest) as (descriptor, size):
                return look(descriptor, size)
        except DamagedBlock:
            pass
        except OSError as error:
            if error.errno != errno.ELOOP:  # which a link is; else gone, or not to be read
                return None
        remove(path)
        return None

    def write(self, file: BlockFile, used: int | None = None) -> bool:
        """`used`: in nanoseconds, None for now; what it follows had better be used later than it. False where it is
        here already, what it follows is not, there is no room beside what was used later, or something else stands in
        its place. Raises OSError where the disk does not take it; then nothing of it is left."""
        name, parent, end = file.header.name, file.header.parent, file.header.snapshots is not None
        if self.has(name, end=True) or (not end and self.has(name)):
            return False
        if parent != ROOT and not (self.has(parent) or self.has(parent, end=True)):
            return False
        published = self._publish(file, self._path(name, end=end), used)
        if published and end:
            remove(self._path(name, end=False))
        return published

    def _publish(self, file: BlockFile, path: Path, used: int | None) -> bool:
        """As `write`, whatever is there."""
        used = time.time_ns() if used is None else used
        pieces = encode(file, packed=self.packed)
        partial = self.files.reserve(self.key, sum(map(len, pieces)), used)
        if partial is None:
            return False
        try:
            for piece in pieces:
                partial.write(piece)
            return self.files.publish(partial, path, used)
        except BaseException:
            partial.abandon()
            raise

    def touch(self, names: Sequence[bytes]) -> list[tuple[bytes, int]]:
        """These blocks of one chain, from its beginning on, were used just now: what follows others goes before them.
        Gives those that are not here, with when they were used."""
        now, missing = time.time_ns(), []
        for place, name in enumerate(names):
            used = now - place * APART
            if not any(stamp(self._path(name, end=end), used) for end in (False, True)):
                missing.append((name, used))
        return missing

    def sweep(self, most: int | None = None) -> None:
        """Down to so many bytes of all keys, None: to the budget. Raises OSError."""
        self.files.sweep(most)

    def _path(self, name: bytes, *, end: bool) -> Path:
        return self.folder / f"{name.hex()}{END if end else BLOCK}"


def stamp(path: Path, used: int) -> bool:
    """As used at that time, in nanoseconds. False where it is not there."""
    try:
        os.utime(path, ns=(used, used), follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError:  # a disk that cannot be written
        pass
    return True


@contextmanager
def _opened(path: Path, most: int) -> Iterator[tuple[int, int]]:
    """A plain file of at most so many bytes: its descriptor and its size."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise DamagedBlock("it is no file of a block")
        yield descriptor, found.st_size
    finally:
        os.close(descriptor)
