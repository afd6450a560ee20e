"""Size, time of change and inode of each blob when it was last hashed. A blob with the same values is taken to be
unchanged; any other is hashed again before its model is loaded.

The file is disposable: without it every blob is hashed once more. A change that keeps all three values is not noticed
here; `verify` reads every byte.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from pathlib import Path

import msgspec

from .filesystem import TEMPORARY, read_regular

_LIMIT = 64 << 20
Mark = tuple[int, int, int]

_decoder = msgspec.json.Decoder(dict[str, Mark])


def mark_of(status: os.stat_result) -> Mark:
    """Size in bytes, time of the last change of the content in nanoseconds, inode."""
    return status.st_size, status.st_mtime_ns, status.st_ino


class Fingerprints:
    """By digest (hex). Kept in memory; `save` adds changes to the file. Thread-safe."""

    def __init__(self, path: Path, partial: Path) -> None:
        self._path = path
        self._partial = partial
        self._lock = threading.Lock()
        self._read: tuple[Mark | None, dict[str, Mark]] = (None, {})
        self._unsaved: dict[str, Mark | None] = {}
        self._damaged: dict[str, tuple[Mark, str]] = {}

    def fits(self, hex_digest: str, status: os.stat_result) -> bool:
        """Whether the blob has the size, time and inode that it had when its content was last verified."""
        mark = mark_of(status)
        with self._lock:
            if self._unsaved.get(hex_digest) == mark:
                return True
            if self.damage(hex_digest, status) is not None:
                return False
            return self._read[1].get(hex_digest) == mark or self._fresh().get(hex_digest) == mark

    def damage(self, hex_digest: str, status: os.stat_result) -> str | None:
        """What was wrong with the blob when it was last read, if it has not changed since."""
        mark, problem = self._damaged.get(hex_digest, (None, None))
        return problem if mark == mark_of(status) else None

    def remember(self, hex_digest: str, status: os.stat_result) -> None:
        """The content is right; `status` is from before it was read."""
        with self._lock:
            self._unsaved[hex_digest] = mark_of(status)
            self._damaged.pop(hex_digest, None)

    def forget(self, hex_digest: str, status: os.stat_result | None = None, problem: str = "") -> None:
        """The blob is deleted, or its content is wrong: `status` from before it was read, and the `problem` found."""
        with self._lock:
            self._unsaved[hex_digest] = None
            if status is not None:
                self._damaged[hex_digest] = (mark_of(status), problem)

    def save(self) -> None:
        """Merge the changes into the file, which other processes write too. On failure they stay in memory."""
        with self._lock, contextlib.suppress(OSError):
            before = self._fresh()
            merged = {name: mark for name, mark in (before | self._unsaved).items() if mark is not None}
            if merged != before:
                self._write(merged)
            self._unsaved.clear()

    def _fresh(self) -> dict[str, Mark]:
        """The file's current content; {} when it is missing or damaged."""
        try:
            mark = mark_of(os.lstat(self._path))
            if mark != self._read[0]:
                self._read = (mark, _decoder.decode(read_regular(self._path, _LIMIT)))
        except (OSError, msgspec.DecodeError):
            self._read = (None, {})
        return self._read[1]

    def _write(self, marks: dict[str, Mark]) -> None:
        fresh = self._partial / f"{os.getpid()}-{secrets.token_hex(8)}{TEMPORARY}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(marks, order="sorted"))
            fresh.replace(self._path)
        finally:
            fresh.unlink(missing_ok=True)
