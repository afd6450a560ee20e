"""One pull from a folder: look, check, take the files over, write the manifest, and only then the name."""

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
from .recording import Order, Recorder


@dataclass
class Pull:
    """Carries out one order. The caller holds the store's lock shared; an exception out of `report` ends the pull."""

    blobs: Blobs
    recorder: Recorder
    report: Report
    _done: int = field(default=0, init=False)
    _total: int = field(default=0, init=False)

    def run(self, order: Order, files: Sequence[SourceFile]) -> Ref:
        """The name, pointing at the new manifest, or at the old one when nothing has changed."""
        self.report(Progress("checking files"))
        findings = inspect({file.path: file.location for file in files}, order.hints, order.kind)
        self._total = sum(file.size for file in files)
        layers = tuple([self._take(file) for file in files])
        self.report(Progress("writing manifest", completed=self._done, total=self._total))
        ref = self.recorder.record(order, findings, layers)
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
