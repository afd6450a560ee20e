"""Blobs that no manifest names yet: their use is still to come, so that no sweep may take them.

`partial/<hex>.promised` is an empty file beside the downloads in flight, and grows old with them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from .disk import Disk

_FILE = re.compile(r"([0-9a-f]{64})\.promised")


class Promised:
    """The promises of one store. Whoever makes one holds the store's lock shared."""

    def __init__(self, partial: Path, disk: Disk) -> None:
        self._partial = partial
        self._disk = disk

    def add(self, hex_digest: str) -> None:
        """Before the blob gets its name; a second promise begins its time anew."""
        path = self._partial / f"{hex_digest}.promised"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        os.utime(path)

    def fulfil(self, digests: Iterable[str]) -> None:
        """A manifest names them now."""
        for hex_digest in digests:
            try:
                self._disk.unlink(self._partial / f"{hex_digest}.promised")
            except FileNotFoundError:
                continue

    def all(self) -> set[str]:
        """The blobs (hex) that are spoken for."""
        with os.scandir(self._partial) as entries:
            return {match[1] for entry in entries if (match := _FILE.fullmatch(entry.name)) is not None}
