"""Compiled kernels on disk: `<home>/cache/kernels/<MLX, machine, C library>/<key>.so`, private to the user.

A file is published by rename and ends with the SHA-256 of what stands before, so that no half of a library is ever
loaded. What its key does not say of a library is in the folder's name. The whole may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ..instructions import instruction_sets

MOST_FILES = 512
MOST_BYTES = 64 << 20
LOCK_SECONDS = 0.2
_DIGEST = hashlib.sha256().digest_size
_PART = ".part"


def folder_name(version: str) -> str:
    """For kernels that this version of MLX has compiled on this machine, for its processor: a home may be on the
    network, and a virtual machine on another one tomorrow."""
    made_for = " ".join(sorted(instruction_sets()))
    digest = hashlib.sha256(made_for.encode()).hexdigest()[:8]
    return "-".join((version, platform.machine(), digest, *platform.libc_ver())).replace("/", "_")


class KernelFiles:
    """`root` holds the kernels of all versions, `name` is the folder of this one's. `suffix` of each file's name."""

    def __init__(self, root: Path, name: str, suffix: str = ".so") -> None:
        self._root = root
        self._suffix = suffix
        self.folder = root / name

    def read(self, key: str) -> bytes | None:
        """The library with this key; None where there is none that is whole and nobody else can have written."""
        path = self.folder / f"{key}{self._suffix}"
        try:
            if not (_private(self._root) and _private(self.folder)):
                return None
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                if not _own(os.fstat(descriptor)):
                    return None
                content = file.read(MOST_BYTES)
        except OSError:
            return None
        library, digest = content[:-_DIGEST], content[-_DIGEST:]
        if hashlib.sha256(library).digest() != digest:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return library

    def publish(self, key: str, library: bytes) -> None:
        """Whole or not at all, with room made for it; the caller is `alone`. Raises OSError."""
        self._sweep()
        descriptor, name = tempfile.mkstemp(suffix=_PART, dir=self.folder)
        unfinished = Path(name)
        try:
            with open(descriptor, "wb") as file:
                file.write(library + hashlib.sha256(library).digest())
                file.flush()
                os.fsync(descriptor)
            unfinished.replace(self.folder / f"{key}{self._suffix}")
        except BaseException:
            unfinished.unlink()
            raise
        self._bound()

    @contextlib.contextmanager
    def alone(self, *, wait: bool = True) -> Iterator[None]:
        """Make the folders and wait until no other process of this home compiles, or do not `wait` and raise
        BlockingIOError. Raises OSError."""
        for folder in (self._root, self.folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _private(folder):
                raise PermissionError(f"{folder} is not a folder that its owner alone may write to")
        descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not wait:
                        raise
                time.sleep(LOCK_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def _sweep(self) -> None:
        """Kernels of other versions of MLX go, and what a process has left that was killed."""
        version = self.folder.name.partition("-")[0]
        for other in self._root.iterdir():
            if other.is_dir() and not other.is_symlink() and other.name.partition("-")[0] != version:
                shutil.rmtree(other, ignore_errors=True)
        for left in self.folder.glob(f"*{_PART}"):
            left.unlink()

    def _bound(self) -> None:
        """Those that were not used for the longest time go."""
        newest = sorted(self.folder.glob(f"*{self._suffix}"), key=lambda path: -path.stat().st_mtime)
        held = 0
        for count, path in enumerate(newest):
            held += path.stat().st_size
            if count and (count >= MOST_FILES or held > MOST_BYTES):
                path.unlink()


def _private(folder: Path) -> bool:
    """Whether nobody else can have put a library there."""
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and _own(status)


def _own(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022
