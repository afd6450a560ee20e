"""Files of a repository that need no download: blobs of the store, and files of the hub's own cache.

Both are read again and compared with the digest that the hub states.
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
from ..hub.cache import find_cached
from ..hub.fetch.hasher import Digests
from ..hub.fetch.totals import Totals
from ..hub.repository import HubFile, Repository
from .intake import SourceFile, take

_REPORT_SECONDS = 0.1


class LocalCopies:
    """Finds files of one repository. The caller holds the store's lock shared."""

    def __init__(self, blobs: Blobs, environ: Mapping[str, str], repository: Repository, totals: Totals) -> None:
        self._blobs = blobs
        self._environ = environ
        self._repository = repository
        self._totals = totals

    def find(self, file: HubFile) -> Blob | None:
        """The blob with that content, verified by reading all of it."""
        for hex_digest in [file.sha256] if file.sha256 is not None else self._of_size(file.size):
            if self._blobs.state(hex_digest, file.size) is not None:
                continue
            try:
                found = self._digests(self._blobs.path(hex_digest), file)
            except OSError:
                continue
            if found.sha256 == hex_digest and found.matches(file):
                return Blob(hex_digest, file.size, fresh=False)
        return None

    def take_over(self, file: HubFile, remaining: int) -> Blob | None:
        """Take a file from the hub's cache, which is not changed. `remaining`: bytes that this pull may still write."""
        location = find_cached(self._environ, self._repository, file)
        if location is None:
            return None
        try:
            status = location.stat()
            source = SourceFile.of(file.path, location, location.parent, status)
            expected = file.sha256
            if expected is None:
                found = self._digests(location, file)
                if not found.matches(file):
                    return None
                expected = found.sha256
            return take(self._blobs, source, remaining, self._progress(file), expected)
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
        progress, done = self._progress(file), 0
        descriptor = open_regular(path, follow=path.is_absolute() and path.parent != self._blobs.folder)
        try:
            for chunk in chunks(descriptor):
                sha256.update(chunk)
                if git is not None:
                    git.update(chunk)
                done += len(chunk)
                progress(done)
        finally:
            os.close(descriptor)
        return Digests(sha256.hexdigest(), git.hexdigest() if git is not None else None)

    def _progress(self, file: HubFile) -> _FileProgress:
        return _FileProgress(self._totals, file)


class _FileProgress:
    """Reports how much of one file has been verified, a few times a second."""

    def __init__(self, totals: Totals, file: HubFile) -> None:
        self._totals = totals
        self._file = file
        self._reported = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._reported >= _REPORT_SECONDS:
            self._reported = now
            self._totals.report_file("verifying", self._file, done)
