"""Makes blobs of files from elsewhere on this machine, without changing the originals."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..disk.blobs import Blob, Blobs, chunks, digest_in, sha256
from ..disk.filesystem import open_below, open_regular
from ..errors import NoSpace, SourceError
from ..system import clones

_RESERVE = 1 << 30


@dataclass(frozen=True)
class SourceFile:
    """A file to store: its path in the model, its location, and what identified it when it was found.

    `location` is a real path below `place`, a real folder that it must not leave.
    """

    path: str
    location: Path
    place: Path
    size: int
    identity: tuple[int, int, int, int]

    @classmethod
    def of(cls, path: str, location: Path, place: Path, status: os.stat_result) -> SourceFile:
        return cls(path, location, place, status.st_size, _identity(status))

    def is_unchanged(self, status: os.stat_result) -> bool:
        return _identity(status) == self.identity

    def changed(self) -> SourceError:
        return SourceError(
            f"{self.path} changed while it was being read", hint="pull again when no program writes to it"
        )


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def take(
    blobs: Blobs, source: SourceFile, remaining: int, report: Callable[[int], None], expected: str | None = None
) -> Blob:
    """Store one file; `report` gets the bytes done so far, of this file.

    When the blob exists already, both are hashed instead of copied, so that a damaged blob is replaced. A file of
    another content-addressed store is hard-linked; others are cloned on file systems with reflinks, else copied.
    `remaining`: bytes that this pull may still write, for the check of free space. Raises SourceError, NoSpace, and
    DamagedModel when the content is not `expected` (hex).
    """
    with _opened(source) as origin:
        if any(status.st_size == source.size and stat.S_ISREG(status.st_mode) for _, status in blobs.entries()):
            hex_digest = _hash(origin, source, report)
            if blobs.problem(hex_digest, source.size) is None:
                return Blob(hex_digest, source.size, fresh=False)
            os.lseek(origin, 0, os.SEEK_SET)
        linked = _link(blobs, source, origin)
        if linked is not None:
            report(linked.size)
            return linked
        with blobs.disk.temporary(blobs.partial) as (descriptor, path):
            if clones.clone(origin, descriptor, path):
                hex_digest = _hash(descriptor, source, report)
            else:
                require_space(blobs, remaining)
                hex_digest = _hash(origin, source, report, lambda data: blobs.disk.write(descriptor, data))
            return blobs.commit(descriptor, path, hex_digest, source.size, expected)


def require_space(blobs: Blobs, size: int) -> None:
    """Raises NoSpace unless `size` bytes and a reserve are free."""
    needed = size + min(_RESERVE, size // 10 + (1 << 20))
    have = blobs.disk.free(blobs.folder)
    if have < needed:
        raise NoSpace(needed, have)


def _link(blobs: Blobs, source: SourceFile, origin: int) -> Blob | None:
    """Hard-link a blob of another store: read-only, of this user, named by its digest, so never rewritten in place."""
    real = source.location
    hex_digest = digest_in(real.name)
    status = os.fstat(origin)
    if hex_digest is None or real.parent.name != "blobs" or status.st_mode & 0o222 or status.st_uid != os.geteuid():
        return None
    with blobs.disk.temporary(blobs.partial) as (_, placeholder):
        linked = placeholder.with_suffix(".link.tmp")
        try:
            os.link(real, linked)
        except OSError:
            return None
        try:
            descriptor = open_regular(linked)
            try:
                if not os.path.samestat(os.fstat(descriptor), status) or sha256(descriptor) != hex_digest:
                    return None
                blobs.disk.sync(descriptor)
            finally:
                os.close(descriptor)
            blobs.disk.rename(linked, blobs.path(hex_digest))
            blobs.fingerprints.remember(hex_digest, status)
            blobs.disk.sync_folder(blobs.folder)
        finally:
            # rename() between two links of one file does nothing and leaves both.
            linked.unlink(missing_ok=True)
    return Blob(hex_digest, status.st_size)


@contextmanager
def _opened(source: SourceFile) -> Iterator[int]:
    """Open exactly the file that was found: neither it nor a folder above it may have been replaced by a link since."""
    try:
        descriptor = open_below(source.place, source.location)
    except OSError as error:
        raise SourceError(f"{source.path} cannot be read: {error.strerror}") from error
    try:
        if not source.is_unchanged(os.fstat(descriptor)):
            raise source.changed()
        yield descriptor
    finally:
        os.close(descriptor)


def _hash(
    descriptor: int,
    source: SourceFile,
    report: Callable[[int], None],
    sink: Callable[[memoryview], None] | None = None,
) -> str:
    """The sha256 of the source as it was when it was found; all bytes are also passed to `sink`."""
    digest, done = hashlib.sha256(), 0
    for chunk in _source_chunks(descriptor, source):
        done += len(chunk)
        if done > source.size:
            break
        if sink is not None:
            sink(chunk)
        digest.update(chunk)
        report(done)
    try:
        same = source.is_unchanged(source.location.lstat())
    except OSError:
        same = False
    if done != source.size or not same:
        raise source.changed()
    return digest.hexdigest()


def _source_chunks(descriptor: int, source: SourceFile) -> Iterator[memoryview]:
    reader = chunks(descriptor)
    while True:
        try:
            chunk = next(reader, None)
        except OSError as error:
            raise SourceError(f"{source.path} cannot be read: {error.strerror}") from error
        if chunk is None:
            return
        yield chunk
