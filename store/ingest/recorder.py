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
        """The ref, with the new manifest, or with that of an installed model where only the time differs: then two
        names of one model are one model in memory."""
        manifest = manifest_of(new, findings, layers)
        own = self.refs.get(new.name)
        others = (ref for ref in self.refs.all() if own is None or ref.name != own.name)
        same = next((ref for ref in (own, *others) if ref is not None and self._is(ref, new, manifest)), None)
        if same is None:
            ref = self.refs.set(new.name, self.manifests.put(manifest))
        else:
            ref = same if same is own else self.refs.set(new.name, same.hex)
        self.pins.release(layer.hex for layer in layers)
        return ref

    def _is(self, ref: Ref, new: NewModel, manifest: Manifest) -> bool:
        if ref.problem is not None:
            return False
        try:
            installed = self.manifests.get(ref.hex)
        except DamagedModel:
            return False
        if new.created is None:
            installed = msgspec.structs.replace(installed, created=manifest.created)
        return installed == manifest


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
