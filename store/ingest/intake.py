"""Makes blobs of files from elsewhere on this machine, without changing the originals."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..disk import clones
from ..disk.blobs import Blob, Blobs, chunks, digest_in, sha256
from ..disk.filesystem import open_regular
from ..errors import NoSpace, SourceError

_RESERVE = 1 << 30


@dataclass(frozen=True)
class SourceFile:
    """A file to store: its path in the model, its location, and its size and times when it was found."""

    path: str
    location: Path
    size: int
    inode: int
    modified_ns: int

    def is_unchanged(self, status: os.stat_result) -> bool:
        return (status.st_size, status.st_ino, status.st_mtime_ns) == (self.size, self.inode, self.modified_ns)


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
        linked = _link(blobs, source)
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


def _link(blobs: Blobs, source: SourceFile) -> Blob | None:
    """Hard-link a blob of another store: read-only, of this user, named by its digest, so never rewritten in place."""
    real = source.location.resolve()
    hex_digest = digest_in(real.name)
    status = real.stat()
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
                if sha256(descriptor) != hex_digest:
                    return None
                blobs.disk.sync(descriptor)
            finally:
                os.close(descriptor)
            blobs.disk.rename(linked, blobs.path(hex_digest))
            blobs.disk.sync_folder(blobs.folder)
        finally:
            # rename() between two links of one file does nothing and leaves both.
            linked.unlink(missing_ok=True)
    return Blob(hex_digest, status.st_size)


@contextmanager
def _opened(source: SourceFile) -> Iterator[int]:
    try:
        descriptor = open_regular(source.location, follow=True)
    except OSError as error:
        raise SourceError(f"{source.path} cannot be read: {error.strerror}") from error
    try:
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
        same = source.is_unchanged(source.location.stat())
    except OSError:
        same = False
    if done != source.size or not same:
        raise SourceError(
            f"{source.path} changed while it was being read", hint="pull again when no program writes to it"
        )
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
