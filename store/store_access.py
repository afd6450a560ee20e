"""Who may touch the files of one store now: readers and writers together, a sweep alone, and nobody writes to a store
that is read-only. Errors of the system become the store's own on the way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .disk.filesystem import FileSystem
from .disk.fingerprints import Fingerprints
from .disk.locks import Lock
from .errors import NoSpace, ReadOnlyStore, translated


@dataclass(frozen=True)
class StoreAccess:
    """Access to one store; each `action` completes "could not …". It knows nothing of models."""

    directory: Path
    read_only: bool
    disk: FileSystem
    lock: Lock
    fingerprints: Fingerprints

    def looking(self, action: str) -> AbstractContextManager[None]:
        """For what needs no lock, or takes it file by file."""
        return translated(action, self.no_space)

    @contextmanager
    def reading(self, action: str) -> Iterator[None]:
        """No file is swept meanwhile. Raises StoreBusy."""
        with self.looking(action), self.lock.shared():
            yield

    @contextmanager
    def changing(self, action: str) -> Iterator[None]:
        """Adding excludes only sweeps. The fingerprints of what was written are saved. Raises ReadOnlyStore,
        StoreBusy."""
        self.require_writable()
        with self.reading(action):
            try:
                yield
            finally:
                self.fingerprints.save()

    @contextmanager
    def sweeping(self, action: str, wait_seconds: float) -> Iterator[None]:
        """Nobody else reads or writes; others get `wait_seconds` to end. Raises ReadOnlyStore, StoreBusy."""
        self.require_writable()
        with self.looking(action), self.lock.exclusive(wait_seconds):
            yield

    def require_writable(self) -> None:
        """Raises ReadOnlyStore."""
        if self.read_only:
            raise ReadOnlyStore

    def no_space(self) -> NoSpace:
        """The error for a write to the store that failed because the disk is full."""
        return self.disk.full(self.directory)
