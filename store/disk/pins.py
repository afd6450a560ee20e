"""Pins keep blobs that no manifest names yet, so that a sweep does not delete them.

A pin is an empty file, `partial/<hex>.promised`, or `partial/<hex>.<source>.promised` for the pins of one source. It
expires like an unfinished download. `<source>` is the beginning of a digest of the source's name.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .filesystem import FileSystem

_FILE = re.compile(r"([0-9a-f]{64})(\.[0-9a-f]{16})?\.promised")


class Pins:
    """The pins of one store, or of one source in it. Whoever adds one holds the store's lock shared."""

    def __init__(self, partial: Path, disk: FileSystem, source: str = "") -> None:
        self._partial = partial
        self._disk = disk
        self._source = source

    def for_source(self, source: str) -> Pins:
        """The pins of one source: those of other sources that share files with it are independent."""
        return Pins(self._partial, self._disk, f".{hashlib.sha256(source.lower().encode()).hexdigest()[:16]}")

    def add(self, hex_digest: str) -> None:
        """Pin a blob, before it is committed; adding a pin again renews its time."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path(hex_digest), flags, 0o600)
        try:
            os.utime(descriptor)  # not by path: another pull of the same source may just have released the pin
        finally:
            os.close(descriptor)

    def release(self, digests: Iterable[str]) -> None:
        """Unpin blobs that a manifest names now."""
        for hex_digest in digests:
            try:
                self._disk.unlink(self._path(hex_digest))
            except FileNotFoundError:
                continue

    def release_all(self) -> None:
        """Unpin all blobs of the source, whose model is being removed."""
        self.release([hex_digest for hex_digest, source in self._files() if source == self._source])

    def all(self) -> set[str]:
        """All pinned blobs (hex), of every source."""
        return {hex_digest for hex_digest, _ in self._files()}

    def _path(self, hex_digest: str) -> Path:
        return self._partial / f"{hex_digest}{self._source}.promised"

    def _files(self) -> Iterator[tuple[str, str]]:
        with os.scandir(self._partial) as entries:
            for entry in entries:
                if (match := _FILE.fullmatch(entry.name)) is not None:
                    yield match[1], match[2] or ""
