"""Immutable files named by their sha256: `blobs/sha256-<hex>`, mode 0444, complete or absent."""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DamagedModel
from .filesystem import FileSystem, open_regular, read_regular
from .fingerprints import Fingerprints, mark_of

_CHUNK = 4 << 20
_FILE = re.compile(r"sha256-([0-9a-f]{64})")
_DIGEST = re.compile(r"(?:sha256[:-])?([0-9a-fA-F]{64})")

ReportBytes = Callable[[int], None]


@dataclass(frozen=True)
class Blob:
    """A stored file: sha256 in hex, size in bytes. `fresh` is False when it was stored before."""

    hex: str
    size: int
    fresh: bool = True

    @property
    def digest(self) -> str:
        return f"sha256:{self.hex}"


@dataclass
class Incoming:
    """A blob being written. Bytes are hashed as they are written; `commit` stores it."""

    _blobs: Blobs
    _descriptor: int
    _path: Path
    size: int = 0
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    def write(self, data: bytes | memoryview) -> None:
        self._blobs.disk.write(self._descriptor, data)
        self._hash.update(data)
        self.size += len(data)

    def commit(self, expected: str | None = None) -> Blob:
        """fsync, rename, fsync the folder. Raises DamagedModel when the content is not `expected` (hex)."""
        return self._blobs.commit(self._descriptor, self._path, self._hash.hexdigest(), self.size, expected)


class Blobs:
    """The blobs of one store. Whoever adds one holds the store's lock, so that no sweep runs in between."""

    def __init__(self, folder: Path, partial: Path, disk: FileSystem) -> None:
        self.folder = folder
        self.partial = partial
        self.disk = disk
        self.fingerprints = Fingerprints(folder.parent / "fingerprints", partial)

    def path(self, hex_digest: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{64}", hex_digest):
            raise DamagedModel(f"{hex_digest[:80]!r} is not a sha256 digest")
        return self.folder / f"sha256-{hex_digest}"

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A temporary file for one blob; removed unless it is committed."""
        with self.disk.temporary(self.partial) as (descriptor, path):
            yield Incoming(self, descriptor, path)

    def put(self, data: bytes) -> Blob:
        """Store bytes that are in memory, such as a manifest."""
        with self.incoming() as incoming:
            incoming.write(data)
            return incoming.commit()

    def commit(self, descriptor: int, path: Path, hex_digest: str, size: int, expected: str | None) -> Blob:
        """Rename a complete temporary file to its digest. After a failed sync the file is dropped, never retried."""
        if expected is not None and hex_digest != expected:
            raise DamagedModel(f"digest mismatch, expected sha256:{expected}, got sha256:{hex_digest}")
        os.fchmod(descriptor, 0o444)
        self.disk.sync(descriptor)
        self.disk.rename(path, self.path(hex_digest))
        self.fingerprints.remember(hex_digest, os.fstat(descriptor))
        self.disk.sync_folder(self.folder)
        return Blob(hex_digest, size)

    def read(self, hex_digest: str, limit: int) -> bytes:
        """A small blob, checked against its digest. Raises DamagedModel."""
        try:
            data = read_regular(self.path(hex_digest), limit)
        except FileNotFoundError:
            raise DamagedModel(f"the file sha256:{hex_digest} is missing") from None
        except OSError as error:
            raise DamagedModel(f"the file sha256:{hex_digest} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != hex_digest:
            raise DamagedModel(f"the content of sha256:{hex_digest} has changed on disk")
        return data

    def state(self, hex_digest: str, size: int) -> str | None:
        """What one lstat shows to be wrong with a blob, or None."""
        try:
            status = os.lstat(self.path(hex_digest))
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        if not stat.S_ISREG(status.st_mode):
            return "is not a regular file"
        if status.st_size != size:
            return f"has {status.st_size} bytes instead of {size}"
        return None

    def is_unchanged(self, hex_digest: str) -> bool:
        """Whether a blob has the size, time and inode that it had when its content was last verified (one lstat)."""
        try:
            return self.fingerprints.fits(hex_digest, os.lstat(self.path(hex_digest)))
        except OSError:
            return False

    def problem_if_changed(self, hex_digest: str, size: int) -> str | None:
        """What is wrong with a blob, or None. It is read only if it has changed since it was last read."""
        if self.is_unchanged(hex_digest):
            return None
        try:
            known = self.fingerprints.damage(hex_digest, os.lstat(self.path(hex_digest)))
        except OSError:
            known = None
        return known or self.problem(hex_digest, size)

    def problem(self, hex_digest: str, size: int, report: ReportBytes = lambda count: None) -> str | None:
        """What is wrong with a blob after reading all of it, or None. `report` gets the bytes read so far and may raise
        to cancel."""
        found = self.state(hex_digest, size)
        if found is not None:
            return found
        try:
            descriptor = open_regular(self.path(hex_digest))
            try:
                before = os.fstat(descriptor)
                actual = sha256(descriptor, report)
                after = os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        if actual != hex_digest:
            problem = f"has changed on disk (its sha256 is now {actual})"
            self.fingerprints.forget(hex_digest, before, problem)
            return problem
        if mark_of(before) == mark_of(after):
            self.fingerprints.remember(hex_digest, before)
        return None

    def entries(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every file that has a blob's name, as (hex, lstat). Other files are ignored."""
        with os.scandir(self.folder) as listing:
            for entry in listing:
                hex_digest = digest_in(entry.name)
                if hex_digest is not None:
                    try:
                        yield hex_digest, entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue


def hex_of(digest: str) -> str:
    """The 64 hex digits of `sha256:<hex>`, `sha256-<hex>` or `<hex>`. Raises DamagedModel."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise DamagedModel(f"{digest[:80]!r} is not a sha256 digest")
    return match[1].lower()


def digest_in(file_name: str) -> str | None:
    """The hex digest in a blob's file name, None for any other file."""
    match = _FILE.fullmatch(file_name)
    return match[1] if match is not None else None


def sha256(descriptor: int, report: ReportBytes = lambda count: None) -> str:
    """The hex digest of an open file, from its current position."""
    digest = hashlib.sha256()
    count = 0
    for chunk in chunks(descriptor):
        digest.update(chunk)
        count += len(chunk)
        report(count)
    return digest.hexdigest()


def chunks(descriptor: int) -> Iterator[memoryview]:
    """The chunks of an open file; each is valid until the next."""
    # Mapped, so that the memory goes back to the system at once; a thread's heap may keep it.
    buffer = memoryview(mmap.mmap(-1, _CHUNK, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    while count := os.readv(descriptor, [buffer]):
        yield buffer[:count]
