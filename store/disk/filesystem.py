"""The file-system calls that the store's promises rest on, in one place so that tests can make each one fail."""

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
"""The ending of files that nobody resumes: rubbish as soon as no one holds the store's lock."""

LASTING = (errno.ENOENT, errno.ELOOP, errno.EINVAL, errno.EFBIG)
"""What `read_regular` says of a file that is no such file; any other error may be gone at the next try."""


_KEEP_SIZE = 1  # linux/falloc.h


class Disk:
    """The real disk. A subclass in the tests counts, fails or dies at the n-th call."""

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        while view:
            view = view[os.write(descriptor, view) :]

    def write_at(self, descriptor: int, data: bytes | bytearray | memoryview, position: int) -> None:
        view = memoryview(data).cast("B")
        while view:
            count = os.pwrite(descriptor, view, position)
            view, position = view[count:], position + count

    def allocate(self, descriptor: int, size: int) -> None:
        """Take the room for `size` bytes from the disk, where it can promise room; the file's length stays.

        Raises OSError when there is none. posix_fallocate would write zeros where the file system cannot.
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
        """Make a file's content durable. On macOS plain fsync leaves it in the drive's cache."""
        full = getattr(fcntl, "F_FULLFSYNC", None)
        if full is not None:
            try:
                fcntl.fcntl(descriptor, full)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
                    raise
        os.fsync(descriptor)

    def flush(self, descriptor: int) -> None:
        """As `sync`, for a file that is still being written: good enough for what another pull can fetch again."""
        os.fsync(descriptor) if sys.platform == "darwin" else os.fdatasync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def make_folder(self, path: Path) -> None:
        """A folder of mode 0700 whatever the umask; one that is there already is left as it is."""
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
        """How many files this user can still make; None where the file system counts none."""
        status = os.statvfs(folder)
        return status.f_favail if status.f_files else None

    def full(self, folder: Path, needed: int | None = None) -> NoSpace:
        """What to say when a write found no space left: which of the two it is."""
        return NoSpace(needed, self.free(folder), self.free_files(folder))

    @contextmanager
    def temporary(self, folder: Path) -> Iterator[tuple[int, Path]]:
        """A new private file in `folder`, removed at the end unless it was renamed away."""
        path = folder / f"{os.getpid()}-{secrets.token_hex(8)}{TEMPORARY}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor, path
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def replace(self, target: Path, data: bytes, partial: Path, mode: int = 0o600) -> None:
        """Put a small file in place, old or new and never torn."""
        with self.temporary(partial) as (descriptor, path):
            self.write(descriptor, data)
            os.fchmod(descriptor, mode)
            self.sync(descriptor)
            self.rename(path, target)
        self.sync_folder(target.parent)


def open_regular(path: Path | str, *, follow: bool = False, folder: int | None = None) -> int:
    """Open for reading what must be a regular file; never blocks on a fifo, never follows a link unless told.

    `folder`: an open one that a relative path begins at. Raises OSError; ELOOP for a link, EINVAL for anything else
    that is no regular file.
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
    """As `open_regular`, for a path below the folder `place`; no link on the way is followed. Raises OSError."""
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
