"""How far a pull is, over all of its files, and the one place that reports it."""

from __future__ import annotations

from collections.abc import Iterable

from ...progress import Progress, Report
from ..repository import HubFile


class Totals:
    """Used by the pulling thread only, because the report may raise to cancel the pull."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._sizes: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self.fetched = 0

    def expect(self, files: Iterable[HubFile]) -> None:
        """The files of this pull; bytes that are already done stay counted."""
        self._sizes = {file.path: file.size for file in files}

    def report(self, status: str, digest: str | None = None) -> None:
        """Report a status of the whole pull."""
        self._report(
            Progress(
                status,
                digest,
                completed=self.completed,
                total=self.total,
                overall_completed=self.completed,
                overall_total=self.total,
                fetched=self.fetched,
            )
        )

    def report_file(self, status: str, file: HubFile, completed: int, digest: str | None = None) -> None:
        """Report a status of one file, of which `completed` bytes are done."""
        self._done[file.path] = completed
        digest = digest or (f"sha256:{file.sha256}" if file.sha256 else None)
        self._report(
            Progress(status, digest, file.path, completed, file.size, self.completed, self.total, self.fetched)
        )

    @property
    def completed(self) -> int:
        return sum(done for path, done in self._done.items() if path in self._sizes)

    @property
    def total(self) -> int:
        return sum(self._sizes.values())
