"""The file-system calls that the store's durability depends on, in one place so that tests can make each one fail."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import NoSpace

TEMPORARY = ".tmp"
"""The suffix of files that are never resumed: garbage as soon as nothing holds the store's lock."""

LITTER = frozenset({".DS_Store", ".localized"})
"""What macOS puts into any folder that somebody looks at."""

PERMANENT_ERRORS = (errno.ENOENT, errno.ELOOP, errno.EINVAL, errno.EFBIG)
"""What `read_regular` raises for a missing or unsuitable file; any other error may be transient."""


LARGEST_CALL = 1 << 30
"""Bytes that one system call moves at most: macOS refuses more than INT_MAX with EINVAL, Linux moves a little less."""

_KEEP_SIZE = 1  # linux/falloc.h


class FileSystem:
    """The real file system. Subclasses in the tests count, fail or die at the n-th call."""

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        while view:
            view = view[os.write(descriptor, view[:LARGEST_CALL]) :]

    def write_at(self, descriptor: int, data: bytes | bytearray | memoryview, position: int) -> None:
        view = memoryview(data).cast("B")
        while view:
            count = os.pwrite(descriptor, view[:LARGEST_CALL], position)
            view, position = view[count:], position + count

    def allocate(self, descriptor: int, size: int) -> None:
        """Reserve space for `size` bytes where the file system can; the file's length stays the same.

        Raises OSError when the disk is full. Not posix_fallocate: it writes zeros where the file system cannot reserve.
        """
        if sys.platform != "linux" or size == 0:
            return
        import ctypes

        try:
            library = ctypes.CDLL(None, use_errno=True)
            done = library.fallocate(descriptor, _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size))
        except (OSError, AttributeError):
            return
        code = ctypes.get_errno()
        if done != 0 and code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise OSError(code, os.strerror(code))

    def sync(self, descriptor: int) -> None:
        """Make a file's content durable."""
        _sync(descriptor)

    def flush(self, descriptor: int) -> None:
        """A weaker `sync` for a file that is still being written: lost bytes can be fetched again."""
        if sys.platform == "linux":
            os.fdatasync(descriptor)
        else:
            os.fsync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def make_folder(self, path: Path) -> None:
        """Create a folder of mode 0700 whatever the umask; an existing one is not changed."""
        try:
            path.mkdir(0o700)
        except FileExistsError:
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise
            return
        path.chmod(0o700)

    def writable(self, folder: Path) -> bool:
        return not os.statvfs(folder).f_flag & os.ST_RDONLY and os.access(folder, os.W_OK | os.X_OK)

    def free(self, folder: Path) -> int:
        """Bytes that this user can still write."""
        status = os.statvfs(folder)
        return status.f_bavail * status.f_frsize

    def free_files(self, folder: Path) -> int | None:
        """How many more files this user can create; None where the file system has no such limit."""
        status = os.statvfs(folder)
        return status.f_favail if status.f_files else None

    def full(self, folder: Path, needed: int | None = None) -> NoSpace:
        """The error for a full file system: it says whether bytes or inodes ran out."""
        return NoSpace(needed, self.free(folder), self.free_files(folder))

    @contextmanager
    def temporary(self, folder: Path) -> Iterator[tuple[int, Path]]:
        """A new private file in `folder`, removed at the end unless it was renamed."""
        path = folder / f"{os.getpid()}-{secrets.token_hex(8)}{TEMPORARY}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor, path
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def replace(self, target: Path, data: bytes, partial: Path, mode: int = 0o600) -> None:
        """Replace a small file atomically."""
        with self.temporary(partial) as (descriptor, path):
            self.write(descriptor, data)
            os.fchmod(descriptor, mode)
            self.sync(descriptor)
            self.rename(path, target)
        self.sync_folder(target.parent)


def _sync(descriptor: int) -> None:
    """On macOS plain fsync leaves content and names in the drive's cache; not every file system there knows more."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        try:
            fcntl.fcntl(descriptor, full)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
                raise
    os.fsync(descriptor)


def open_regular(path: Path | str, *, follow: bool = False, folder: int | None = None) -> int:
    """Open a regular file for reading; never blocks on a fifo, follows links only with `follow`.

    `folder`: the descriptor of the folder that a relative path starts from.
    Raises OSError: ELOOP for a link, EINVAL for anything else that is not a regular file.
    """
    status = os.stat(path, dir_fd=folder, follow_symlinks=follow)
    if stat.S_ISREG(status.st_mode):
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
        descriptor = os.open(path, flags, dir_fd=folder)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "is a symbolic link")
    raise OSError(errno.EINVAL, "is not a regular file")


def open_below(place: Path, path: Path) -> int:
    """Like `open_regular`, for a path below the folder `place`; no link in between is followed. Raises OSError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(place, flags)
    try:
        *above, name = path.relative_to(place).parts
        for part in above:
            below = os.open(part, flags, dir_fd=folder)
            os.close(folder)
            folder = below
        return open_regular(name, folder=folder)
    finally:
        os.close(folder)


def read_regular(path: Path, limit: int, *, follow: bool = False) -> bytes:
    """The whole content of a small regular file; EFBIG when it is longer than `limit` bytes."""
    with os.fdopen(open_regular(path, follow=follow), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"is longer than {limit} bytes")
    return data
