"""The end of every pull: what was found out becomes a manifest, and a name is made to stand for it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import msgspec

from ..disk.manifests import Kind, Layer, Manifest, Manifests, Source
from ..disk.pins import Promised
from ..disk.refs import Ref, Refs
from ..errors import DamagedModel
from ..inspect.findings import Findings
from ..names import Name


@dataclass(frozen=True)
class Order:
    """What is wanted under which name, and from where; `kind` None: find out.

    `hints` are names that may say what the model is for; `remark` takes the place of the reason found, `created` that
    of the present time.
    """

    name: Name
    source: Source
    hints: tuple[str, ...]
    kind: Kind | None = None
    remark: str | None = None
    created: str | None = None


@dataclass(frozen=True)
class Recorder:
    """Writes manifests over blobs that are stored. The caller holds the store's lock shared."""

    manifests: Manifests
    refs: Refs
    promised: Promised

    def record(self, order: Order, findings: Findings, layers: tuple[Layer, ...]) -> Ref:
        """The name, pointing at the new manifest, or at the old one when only the time is another."""
        manifest = manifest_of(order, findings, layers)
        ref = self._unchanged(order, manifest) or self.refs.set(order.name, self.manifests.put(manifest))
        self.promised.fulfil(layer.hex for layer in layers)
        return ref

    def _unchanged(self, order: Order, manifest: Manifest) -> Ref | None:
        ref = self.refs.get(order.name)
        if ref is None or ref.problem is not None:
            return None
        try:
            installed = self.manifests.get(ref.hex)
        except DamagedModel:
            return None
        if order.created is None:
            installed = msgspec.structs.replace(installed, created=manifest.created)
        return ref if installed == manifest else None


def manifest_of(order: Order, findings: Findings, layers: tuple[Layer, ...]) -> Manifest:
    """A manifest that is not stored yet."""
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
        created=order.created or now(),
    )


def now() -> str:
    """The present time as a manifest has it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
