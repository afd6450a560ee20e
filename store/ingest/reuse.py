"""Files of a repository that need not be fetched: blobs that are here already, and files of the hub's own cache.

Neither is believed: both are read again and compared with what the hub states.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from ..disk.blobs import Blob, Blobs, chunks
from ..disk.filesystem import open_regular
from ..errors import DamagedModel, SourceError
from ..hub.cache import cached
from ..hub.fetch.hasher import Digests
from ..hub.fetch.totals import Tally
from ..hub.repository import HubFile, Repository
from .intake import SourceFile, take

_BEAT = 0.1


class Present:
    """Looks for files of one repository. The caller holds the store's lock shared."""

    def __init__(self, blobs: Blobs, environ: Mapping[str, str], repository: Repository, tally: Tally) -> None:
        self._blobs = blobs
        self._environ = environ
        self._repository = repository
        self._tally = tally

    def find(self, file: HubFile) -> Blob | None:
        """The blob with that content, read to the last byte."""
        for hex_digest in [file.sha256] if file.sha256 is not None else self._of_size(file.size):
            if self._blobs.state(hex_digest, file.size) is not None:
                continue
            try:
                found = self._digests(self._blobs.path(hex_digest), file)
            except OSError:
                continue
            if found.sha256 == hex_digest and found.fit(file):
                return Blob(hex_digest, file.size, fresh=False)
        return None

    def take_over(self, file: HubFile, to_come: int) -> Blob | None:
        """From the hub's own cache, which stays as it is. `to_come`: bytes that this pull may still write."""
        location = cached(self._environ, self._repository, file)
        if location is None:
            return None
        try:
            status = location.stat()
            source = SourceFile.of(file.path, location, location.parent, status)
            expected = file.sha256
            if expected is None:
                found = self._digests(location, file)
                if not found.fit(file):
                    return None
                expected = found.sha256
            return take(self._blobs, source, to_come, self._beat(file), expected)
        except (OSError, SourceError, DamagedModel):
            return None

    def _of_size(self, size: int) -> list[str]:
        return [
            hex_digest
            for hex_digest, status in self._blobs.entries()
            if status.st_size == size and stat.S_ISREG(status.st_mode)
        ]

    def _digests(self, path: Path, file: HubFile) -> Digests:
        sha256 = hashlib.sha256()
        git = None if file.sha256 is not None else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        beat, done = self._beat(file), 0
        descriptor = open_regular(path, follow=path.is_absolute() and path.parent != self._blobs.folder)
        try:
            for chunk in chunks(descriptor):
                sha256.update(chunk)
                if git is not None:
                    git.update(chunk)
                done += len(chunk)
                beat(done)
        finally:
            os.close(descriptor)
        return Digests(sha256.hexdigest(), git.hexdigest() if git is not None else None)

    def _beat(self, file: HubFile) -> _Beat:
        return _Beat(self._tally, file)


class _Beat:
    """Tells of one file that is read again, a few times a second."""

    def __init__(self, tally: Tally, file: HubFile) -> None:
        self._tally = tally
        self._file = file
        self._told = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._told >= _BEAT:
            self._told = now
            self._tally.tell("verifying", self._file, done)
