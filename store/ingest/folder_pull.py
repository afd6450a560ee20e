"""One pull from a folder: inspect, store the files, write the manifest, and only then the ref."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..allowlist import media_type
from ..disk.blobs import Blobs
from ..disk.manifests import Layer, Source
from ..disk.refs import Ref
from ..inspect.findings import inspect
from ..progress import Progress, Report
from .intake import SourceFile, take
from .recorder import NewModel, Recorder


@dataclass
class FolderPull:
    """One pull. The caller holds the store's lock shared; `report` may raise to cancel."""

    blobs: Blobs
    recorder: Recorder
    report: Report
    _done: int = field(default=0, init=False)
    _total: int = field(default=0, init=False)

    def run(self, new: NewModel, files: Sequence[SourceFile]) -> Ref:
        """The ref, with the new manifest, or with the old one when nothing has changed."""
        self.report(Progress("checking files"))
        findings = inspect({file.path: file.location for file in files}, new.hints, new.kind)
        self._total = sum(file.size for file in files)
        layers = tuple([self._take(file) for file in files])
        self.report(Progress("writing manifest", completed=self._done, total=self._total))
        ref = self.recorder.record(new, findings, layers)
        self.report(Progress("success", f"sha256:{ref.hex}", completed=self._done, total=self._total))
        return ref

    def _take(self, file: SourceFile) -> Layer:
        self.report(Progress("copying", path=file.path, total=file.size))
        blob = take(
            self.blobs,
            file,
            self._total - self._done,
            lambda done: self.report(Progress("copying", path=file.path, completed=done, total=file.size)),
        )
        self._done += file.size
        status = "stored" if blob.fresh else "already here"
        self.report(Progress(status, blob.digest, file.path, file.size, file.size))
        return Layer(path=file.path, digest=blob.digest, size=blob.size, media_type=media_type(file.path) or "")


def source_of(folder: Path) -> Source:
    return Source(kind="local", location=str(folder.resolve()))
