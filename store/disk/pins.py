"""Blobs that no manifest names yet: their use is still to come, so that no sweep may take them.

`partial/<hex>.promised`, or `partial/<hex>.<source>.promised` for a source whose promises are its own, is an empty file
beside the downloads in flight, and grows old with them. `<source>` is a digest's beginning.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .filesystem import Disk

_FILE = re.compile(r"([0-9a-f]{64})(\.[0-9a-f]{16})?\.promised")


class Promised:
    """The promises of one store, or of one source in it. Whoever makes one holds the store's lock shared."""

    def __init__(self, partial: Path, disk: Disk, source: str = "") -> None:
        self._partial = partial
        self._disk = disk
        self._source = source

    def towards(self, source: str) -> Promised:
        """The promises of one source: a model that shares files with another one neither keeps nor breaks them."""
        return Promised(self._partial, self._disk, f".{hashlib.sha256(source.lower().encode()).hexdigest()[:16]}")

    def add(self, hex_digest: str) -> None:
        """Before the blob gets its name; a second promise begins its time anew."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path(hex_digest), flags, 0o600)
        try:
            os.utime(descriptor)  # not by its name: another pull of the same may just have kept the promise
        finally:
            os.close(descriptor)

    def fulfil(self, digests: Iterable[str]) -> None:
        """A manifest names them now."""
        for hex_digest in digests:
            try:
                self._disk.unlink(self._path(hex_digest))
            except FileNotFoundError:
                continue

    def withdraw(self) -> None:
        """Nobody wants any of them: the source's model is being removed."""
        self.fulfil([hex_digest for hex_digest, source in self._files() if source == self._source])

    def all(self) -> set[str]:
        """The blobs (hex) that are spoken for, by whomever."""
        return {hex_digest for hex_digest, _ in self._files()}

    def _path(self, hex_digest: str) -> Path:
        return self._partial / f"{hex_digest}{self._source}.promised"

    def _files(self) -> Iterator[tuple[str, str]]:
        with os.scandir(self._partial) as entries:
            for entry in entries:
                if (match := _FILE.fullmatch(entry.name)) is not None:
                    yield match[1], match[2] or ""
