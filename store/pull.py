"""One pull from a folder: look, check, take the files over, write the manifest, and only then the name."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from .allowlist import media_type
from .blobs import Blobs
from .errors import DamagedModel
from .inspection import Findings, inspect
from .intake import SourceFile, take
from .manifests import Kind, Layer, Manifest, Manifests, Source
from .names import Name
from .progress import Progress, Report
from .refs import Ref, Refs


@dataclass(frozen=True)
class Order:
    """What is wanted: which files, under which name, from where; `kind` None: find out.

    `hints` are names that may say what the model is for; `remark` takes the place of the reason found.
    """

    files: Sequence[SourceFile]
    name: Name
    source: Source
    hints: tuple[str, ...]
    kind: Kind | None = None
    remark: str | None = None


@dataclass
class Pull:
    """Carries out one order. The caller holds the store's lock shared; an exception out of `report` ends the pull."""

    blobs: Blobs
    manifests: Manifests
    refs: Refs
    report: Report
    _done: int = field(default=0, init=False)
    _total: int = field(default=0, init=False)

    def run(self, order: Order) -> Ref:
        """The name, pointing at the new manifest, or at the old one when nothing has changed."""
        self.report(Progress("checking files"))
        findings = inspect({file.path: file.location for file in order.files}, order.hints, order.kind)
        self._total = sum(file.size for file in order.files)
        layers = tuple([self._take(file) for file in order.files])
        manifest = _manifest(order, findings, layers)
        self.report(Progress("writing manifest", completed=self._done, total=self._total))
        ref = self._unchanged(order.name, manifest) or self.refs.set(order.name, self.manifests.put(manifest))
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

    def _unchanged(self, name: Name, manifest: Manifest) -> Ref | None:
        ref = self.refs.get(name)
        if ref is None or ref.problem is not None:
            return None
        try:
            installed = self.manifests.get(ref.hex)
        except DamagedModel:
            return None
        return ref if msgspec.structs.replace(installed, created=manifest.created) == manifest else None


def source_of(folder: Path) -> Source:
    return Source(kind="local", location=str(folder.resolve()))


def _manifest(order: Order, findings: Findings, layers: tuple[Layer, ...]) -> Manifest:
    traits = findings.traits
    return Manifest(
        source=order.source,
        kind=findings.kind,
        kind_reason=order.remark or findings.kind_reason,
        layers=layers,
        architecture=findings.architecture,
        parameters=traits.parameters,
        context_length=traits.context_length,
        embedding_length=traits.embedding_length,
        quantization=traits.quantization,
        dtype=traits.dtype,
        capabilities=findings.capabilities,
        created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
