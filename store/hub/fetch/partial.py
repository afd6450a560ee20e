"""A file on its way in: `partial/<key>.part` and beside it `<key>.pieces`, which says what of it is there.

The kernel's lock on the .part file says who writes; it ends with its holder. The note of pieces may be lost or wrong
at the cost of bytes fetched again, never of correctness, for the digest is taken over what lies on the disk.
Format: a head of 64 bytes (magic, size of the file, boot), then 24 bytes a piece: start, bytes written, bytes synced.
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

from ...disk import boot_id as boot
from ...disk.blobs import Blob, Blobs
from ...disk.filesystem import Disk
from ...disk.leftovers import PART, PIECES
from ...errors import StoreError
from ..repository import HubFile
from .spans import Spans

_HEAD = struct.Struct("<16sQ40s")
_SLOT = struct.Struct("<QQQ")
_MAGIC = b"mlx-serve pieces"
_MAX_PIECES = 1 << 20


class Partial:
    """What is there of one file, with the right to go on. Writes to different places may come from several threads."""

    def __init__(self, descriptor: int, notes: int, path: Path, size: int, disk: Disk) -> None:
        self._descriptor = descriptor
        self._notes = notes
        self._path = path
        self._size = size
        self._disk = disk
        self._lock = threading.Lock()
        self._slots: list[list[int]] = []
        self._spans = Spans()
        self._settled = self._closed = False

    @classmethod
    def open(cls, folder: Path, key: str, size: int, disk: Disk) -> Partial | None:
        """None while somebody else has it. Raises OSError, StoreError for what is no file of ours."""
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
                pass  # Whoever had it has just finished it.
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        try:
            notes = _open(path.with_suffix(PIECES))
        except BaseException:
            os.close(descriptor)
            raise
        partial = cls(descriptor, notes, path, size, disk)
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
        """What is there, a copy."""
        with self._lock:
            return self._spans.copy()

    def reach(self, start: int) -> int:
        with self._lock:
            return self._spans.reach(start)

    def allocate(self) -> None:
        """Take the room for all of it, so that a full disk is known now."""
        self._disk.allocate(self._descriptor, self._size)

    def slot(self, start: int) -> int:
        """A place in the notes for a piece that begins at `start`."""
        with self._lock:
            self._slots.append([start, 0, 0])
            return len(self._slots) - 1

    def write(self, slot: int, position: int, data: memoryview) -> None:
        """The next bytes of a piece, which follow those written before."""
        if self._settled:
            return
        self._disk.write_at(self._descriptor, data, position)
        with self._lock:
            noted = self._slots[slot]
            noted[1] = position + len(data) - noted[0]
            self._disk.write_at(self._notes, _SLOT.pack(*noted), _HEAD.size + slot * _SLOT.size)
            self._spans.add(position, position + len(data))

    def sync(self) -> None:
        """Make durable what is written, and note that it is. After an OSError the file must be discarded."""
        with self._lock:
            if self._closed or self._settled:
                return
            slots, written = self._slots, [slot[1] for slot in self._slots]
            descriptor = os.dup(self._descriptor)
        try:
            self._disk.flush(descriptor)
        finally:
            os.close(descriptor)
        with self._lock:
            if self._closed or self._settled or self._slots is not slots:
                return
            for slot, length in zip(slots, written, strict=False):
                slot[2] = length
            self._disk.write_at(self._notes, b"".join(_SLOT.pack(*slot) for slot in slots), _HEAD.size)

    def clear(self) -> None:
        """Begin from nothing."""
        with self._lock:
            if self._settled:
                raise StoreError("a file that is stored was about to be written again")
            self._slots = []
            self._spans = Spans()
            os.ftruncate(self._notes, 0)
            os.ftruncate(self._descriptor, 0)
            self._write_head()

    def settle(self, blobs: Blobs, hex_digest: str) -> Blob:
        """The whole file gets its name. The lock stays until `close`, but nothing of it changes any more."""
        self._settled = True
        try:
            blob = blobs.settle(self._descriptor, self._path, hex_digest, self._size, None)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                self.discard()
            raise
        with contextlib.suppress(OSError):
            self._disk.unlink(self._path.with_suffix(PIECES))
        return blob

    def discard(self) -> None:
        """Nothing of it can be used."""
        for path in (self._path.with_suffix(PIECES), self._path):
            try:
                self._disk.unlink(path)
            except FileNotFoundError:
                continue

    def drop_if_empty(self) -> None:
        """A file that nothing came of need not lie about."""
        if not self.spans.total:
            self.discard()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if not self._settled:
                # The room that was taken for what did not come is given back.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size)
            os.close(self._notes)
            os.close(self._descriptor)

    def _resume(self) -> None:
        os.utime(self._descriptor)
        length = os.fstat(self._descriptor).st_size
        if length > self._size:
            os.ftruncate(self._descriptor, self._size)
        limit = min(length, self._size)
        for start, stop in self._noted(limit):
            self._spans.add(start, stop)
        # One slot for each stretch that is there, whatever it was made of.
        os.ftruncate(self._notes, 0)
        self._write_head()
        for start, stop in self._spans:
            self._slots.append([start, stop - start, 0])
        self._disk.write_at(self._notes, b"".join(_SLOT.pack(*slot) for slot in self._slots), _HEAD.size)

    def _noted(self, limit: int) -> list[tuple[int, int]]:
        data = os.pread(self._notes, _HEAD.size + _MAX_PIECES * _SLOT.size, 0)
        if len(data) < _HEAD.size:
            return []
        magic, size, session = _HEAD.unpack_from(data)
        if magic != _MAGIC or size != self._size:
            return []
        # What the last session wrote and did not sync is there, unless the machine went down in between.
        column = 1 if session.rstrip(b"\0") == boot.session() else 2
        found: list[tuple[int, int]] = []
        for offset in range(_HEAD.size, len(data) - _SLOT.size + 1, _SLOT.size):
            slot = _SLOT.unpack_from(data, offset)
            start, stop = slot[0], min(slot[0] + slot[column], limit)
            if start < stop:
                found.append((start, stop))
        return found

    def _write_head(self) -> None:
        self._disk.write_at(self._notes, _HEAD.pack(_MAGIC, self._size, boot.session()), 0)


def key_of(file: HubFile) -> str:
    """What a partial is called: by content, so that two models with one file share it."""
    return file.sha256 if file.sha256 is not None else f"git-{file.git_id}"


def taken(folder: Path, file: HubFile) -> int:
    """Bytes of the disk that an earlier pull has taken for the file already."""
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
            raise _foreign(path) from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink > 1:
        os.close(descriptor)
        raise _foreign(path)
    os.fchmod(descriptor, 0o600)  # whatever the umask
    return descriptor


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _foreign(path: Path) -> StoreError:
    return StoreError(f"{path} is no file of the model store", hint="remove it and pull again")
