"""A file being downloaded: `partial/<key>.part`, and beside it `<key>.pieces`, an index of the bytes that are written.

The process that writes holds an flock on the .part file; the kernel drops it when the process dies. A lost or wrong
index costs bytes fetched again, never correctness: the digest is computed over the bytes on disk.
Format: a head of 64 bytes (magic, file size, boot id), then 24 bytes a piece: start, bytes written, bytes synced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import threading
from pathlib import Path

from ...disk.blobs import Blob, Blobs
from ...disk.filesystem import FileSystem
from ...disk.leftovers import PART, PIECES
from ...errors import StoreError
from ...system import boot_id as boot
from ..repository import HubFile
from .spans import Spans

_HEAD = struct.Struct("<16sQ40s")
_SLOT = struct.Struct("<QQQ")
_MAGIC = b"mlx-serve pieces"
_MAX_PIECES = 1 << 20


class Partial:
    """One partial file, locked for this process. Several threads may write different ranges of it."""

    def __init__(self, descriptor: int, index: int, path: Path, size: int, disk: FileSystem) -> None:
        self._descriptor = descriptor
        self._index = index
        self._path = path
        self._size = size
        self._disk = disk
        self._lock = threading.Lock()
        self._slots: list[list[int]] = []
        self._spans = Spans()
        self._committed = self._closed = False

    @classmethod
    def open(cls, folder: Path, key: str, size: int, disk: FileSystem) -> Partial | None:
        """None while another pull holds it. Raises OSError, StoreError for a file that the store did not make."""
        path = folder / f"{key}{PART}"
        while True:
            descriptor = _open(path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                there = path.stat(follow_symlinks=False)
                if (there.st_dev, there.st_ino) == _identity(descriptor):
                    break
            except BlockingIOError:
                os.close(descriptor)
                return None
            except FileNotFoundError:
                pass  # The other pull has just finished it.
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        try:
            index = _open(path.with_suffix(PIECES))
        except BaseException:
            os.close(descriptor)
            raise
        partial = cls(descriptor, index, path, size, disk)
        try:
            partial._resume()
        except BaseException:
            partial.close()
            raise
        return partial

    @property
    def descriptor(self) -> int:
        return self._descriptor

    @property
    def spans(self) -> Spans:
        """The ranges that are written, a copy."""
        with self._lock:
            return self._spans.copy()

    def reach(self, start: int) -> int:
        with self._lock:
            return self._spans.reach(start)

    def allocate(self) -> None:
        """Reserve space for the whole file, so that a full disk fails now."""
        self._disk.allocate(self._descriptor, self._size)

    def slot(self, start: int) -> int:
        """A slot in the index for a piece that begins at `start`."""
        with self._lock:
            self._slots.append([start, 0, 0])
            return len(self._slots) - 1

    def write(self, slot: int, position: int, data: memoryview) -> None:
        """The next bytes of a piece, which follow those written before."""
        if self._committed:
            return
        self._disk.write_at(self._descriptor, data, position)
        with self._lock:
            slot_row = self._slots[slot]
            slot_row[1] = position + len(data) - slot_row[0]
            self._disk.write_at(self._index, _SLOT.pack(*slot_row), _HEAD.size + slot * _SLOT.size)
            self._spans.add(position, position + len(data))

    def sync(self) -> None:
        """Make written bytes durable and record that. After an OSError the file must be discarded."""
        with self._lock:
            if self._closed or self._committed:
                return
            slots, written = self._slots, [slot[1] for slot in self._slots]
            descriptor = os.dup(self._descriptor)
        try:
            self._disk.flush(descriptor)
        finally:
            os.close(descriptor)
        with self._lock:
            if self._closed or self._committed or self._slots is not slots:
                return
            for slot, length in zip(slots, written, strict=False):
                slot[2] = length
            self._disk.write_at(self._index, b"".join(_SLOT.pack(*slot) for slot in slots), _HEAD.size)

    def clear(self) -> None:
        """Discard all bytes."""
        with self._lock:
            if self._committed:
                raise StoreError("a committed file cannot be cleared")
            self._slots = []
            self._spans = Spans()
            os.ftruncate(self._index, 0)
            os.ftruncate(self._descriptor, 0)
            self._write_head()

    def commit(self, blobs: Blobs, hex_digest: str) -> Blob:
        """Make the complete file a blob. The lock stays until `close`, but the content no longer changes."""
        self._committed = True
        try:
            blob = blobs.commit(self._descriptor, self._path, hex_digest, self._size, None)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                self.discard()
            raise
        with contextlib.suppress(OSError):
            self._disk.unlink(self._path.with_suffix(PIECES))
        return blob

    def discard(self) -> None:
        """Delete it: nothing of it can be used."""
        for path in (self._path.with_suffix(PIECES), self._path):
            try:
                self._disk.unlink(path)
            except FileNotFoundError:
                continue

    def discard_if_empty(self) -> None:
        """Delete it when nothing has been written to it."""
        if not self.spans.total:
            self.discard()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if not self._committed:
                # Releases the space reserved for bytes that were not fetched.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size)
            os.close(self._index)
            os.close(self._descriptor)

    def _resume(self) -> None:
        os.utime(self._descriptor)
        length = os.fstat(self._descriptor).st_size
        if length > self._size:
            os.ftruncate(self._descriptor, self._size)
        limit = min(length, self._size)
        for start, stop in self._recorded(limit):
            self._spans.add(start, stop)
        # One slot for each contiguous range, however many pieces it came from.
        os.ftruncate(self._index, 0)
        self._write_head()
        for start, stop in self._spans:
            self._slots.append([start, stop - start, 0])
        self._disk.write_at(self._index, b"".join(_SLOT.pack(*slot) for slot in self._slots), _HEAD.size)

    def _recorded(self, limit: int) -> list[tuple[int, int]]:
        data = os.pread(self._index, _HEAD.size + _MAX_PIECES * _SLOT.size, 0)
        if len(data) < _HEAD.size:
            return []
        magic, size, session = _HEAD.unpack_from(data)
        if magic != _MAGIC or size != self._size:
            return []
        # Unsynced bytes are there unless the machine was rebooted since.
        column = 1 if session.rstrip(b"\0") == boot.session() else 2
        found: list[tuple[int, int]] = []
        for offset in range(_HEAD.size, len(data) - _SLOT.size + 1, _SLOT.size):
            slot = _SLOT.unpack_from(data, offset)
            start, stop = slot[0], min(slot[0] + slot[column], limit)
            if start < stop:
                found.append((start, stop))
        return found

    def _write_head(self) -> None:
        self._disk.write_at(self._index, _HEAD.pack(_MAGIC, self._size, boot.session()), 0)


def key_of(file: HubFile) -> str:
    """The stem of a partial file: by content, so that two models that have the same file share the download."""
    return file.sha256 if file.sha256 is not None else f"git-{file.git_id}"


def allocated_bytes(folder: Path, file: HubFile) -> int:
    """Bytes of disk space that an earlier pull has reserved for the file."""
    try:
        status = (folder / f"{key_of(file)}{PART}").lstat()
    except OSError:
        return 0
    return min(file.size, status.st_blocks * 512)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.EACCES, errno.ENXIO):
            raise _foreign_file(path) from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink > 1:
        os.close(descriptor)
        raise _foreign_file(path)
    os.fchmod(descriptor, 0o600)  # whatever the umask
    return descriptor


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _foreign_file(path: Path) -> StoreError:
    return StoreError(f"{path} was not written by the model store", hint="remove it and pull again")
