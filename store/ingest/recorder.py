"""The end of every pull: writes the manifest, then the ref."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import msgspec

from ..disk.manifests import Kind, Layer, Manifest, Manifests, Source
from ..disk.pins import Pins
from ..disk.refs import Ref, Refs
from ..errors import DamagedModel
from ..inspect.findings import Findings
from ..names import Name


@dataclass(frozen=True)
class NewModel:
    """A model to be recorded: its name and its source; `kind` None: detect.

    `hints` are names that may reveal the kind; `kind_reason` replaces the detected reason, `created` the present time.
    """

    name: Name
    source: Source
    hints: tuple[str, ...]
    kind: Kind | None = None
    kind_reason: str | None = None
    created: str | None = None


@dataclass(frozen=True)
class Recorder:
    """Writes manifests over blobs that are stored. The caller holds the store's lock shared."""

    manifests: Manifests
    refs: Refs
    pins: Pins

    def record(self, new: NewModel, findings: Findings, layers: tuple[Layer, ...]) -> Ref:
        """The ref, with the new manifest, or with the old one when only the time differs."""
        manifest = manifest_of(new, findings, layers)
        ref = self._unchanged(new, manifest) or self.refs.set(new.name, self.manifests.put(manifest))
        self.pins.release(layer.hex for layer in layers)
        return ref

    def _unchanged(self, new: NewModel, manifest: Manifest) -> Ref | None:
        ref = self.refs.get(new.name)
        if ref is None or ref.problem is not None:
            return None
        try:
            installed = self.manifests.get(ref.hex)
        except DamagedModel:
            return None
        if new.created is None:
            installed = msgspec.structs.replace(installed, created=manifest.created)
        return ref if installed == manifest else None


def manifest_of(new: NewModel, findings: Findings, layers: tuple[Layer, ...]) -> Manifest:
    """A manifest, not stored yet."""
    traits = findings.traits
    return Manifest(
        source=new.source,
        kind=findings.kind,
        kind_reason=new.kind_reason or findings.kind_reason,
        layers=layers,
        architecture=findings.architecture,
        parameters=traits.parameters,
        context_length=traits.context_length,
        embedding_length=traits.embedding_length,
        quantization=traits.quantization,
        dtype=traits.dtype,
        capabilities=findings.capabilities,
        created=new.created or now(),
    )


def now() -> str:
    """The present time in a manifest's format."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
