"""Models derived from installed ones: a private folder for the new files, and their way into the store."""

from __future__ import annotations

import datetime
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..allowlist import media_type
from ..disk.blobs import Blobs, chunks
from ..disk.filesystem import TEMPORARY, FileSystem
from ..disk.manifests import Layer, Manifest, Manifests, Overrides, Quantization, encode
from ..disk.refs import Ref, Refs
from ..errors import DamagedModel, NoSpace, translated
from ..inspect.findings import Findings, inspect
from ..names import Name
from . import folder as folders

_RESERVE = 1 << 30


@contextmanager
def workspace(partial: Path, disk: FileSystem, needed: int) -> Iterator[Path]:
    """A new private folder, removed at the end. The caller holds the store's lock shared. Raises NoSpace."""
    path = partial / f"{os.getpid()}-{secrets.token_hex(8)}{TEMPORARY}"
    with translated("make a folder for the model", lambda: disk.full(partial)):
        wanted, have = needed + min(_RESERVE, needed // 10 + (1 << 20)), disk.free(partial)
        if have < wanted:
            raise NoSpace(wanted, have)
        disk.make_folder(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class Adoption:
    """Makes a model of a folder's files, which are moved. The caller holds the store's lock shared.

    `report` gets the bytes done so far and may raise to cancel, which leaves the store unchanged.
    """

    blobs: Blobs
    manifests: Manifests
    refs: Refs
    report: Callable[[int], None]

    def run(self, folder: Path, name: Name, parent: Manifest, parent_hex: str, reason: str | None) -> Ref:
        """The folder's files replace the parent's of the same path; its weights replace all of the parent's.

        All other files are shared with the parent and not read. Raises SourceError, DamagedModel.
        """
        made = {file.path: file.location for file in folders.scan(folder)}
        kept = [layer for layer in parent.layers if layer.path not in made and not _is_weights(layer.path)]
        locations = {layer.path: self.blobs.path(layer.hex) for layer in kept} | made
        for layer in kept:
            if (problem := self.blobs.state(layer.hex, layer.size)) is not None:
                raise DamagedModel(
                    f"the model is incomplete: {layer.path} {problem}", hint="pull the model again to repair it"
                )
        findings = inspect(locations, (name.model,), parent.kind)
        layers = self._layers(kept, made)
        manifest = _manifest(parent, parent_hex, findings, layers, reason)
        return self._unchanged(name, manifest) or self.refs.set(name, self.manifests.put(manifest))

    def _layers(self, kept: list[Layer], made: Mapping[str, Path]) -> tuple[Layer, ...]:
        done = 0
        layers = list(kept)
        for path, location in made.items():
            layer = self._settle(path, location, done)
            done += layer.size
            layers.append(layer)
        return tuple(sorted(layers, key=lambda layer: layer.path))

    def _settle(self, path: str, location: Path, before: int) -> Layer:
        descriptor = os.open(location, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            digest, size = hashlib.sha256(), 0
            for chunk in chunks(descriptor):
                digest.update(chunk)
                size += len(chunk)
                self.report(before + size)
            blob = self.blobs.commit(descriptor, location, digest.hexdigest(), size, None)
        finally:
            os.close(descriptor)
        return Layer(path=path, digest=blob.digest, size=size, media_type=media_type(path) or "")

    def _unchanged(self, name: Name, manifest: Manifest) -> Ref | None:
        ref = self.refs.get(name)
        if ref is None or ref.problem is not None:
            return None
        try:
            there = self.manifests.get(ref.hex)
        except DamagedModel:
            return None
        same = msgspec.structs.replace(there, created=manifest.created, parent=manifest.parent) == manifest
        return ref if same else None


def _is_weights(path: str) -> bool:
    """The model's weights and their index; those in numbered folders belong to layers after the pooling."""
    return "/" not in path and path.endswith((".safetensors", ".safetensors.index.json"))


def _manifest(
    parent: Manifest, parent_hex: str, findings: Findings, layers: tuple[Layer, ...], reason: str | None
) -> Manifest:
    traits = findings.traits
    quantization: Quantization | None = traits.quantization
    plain = msgspec.structs.replace(
        parent,
        kind_reason=reason or parent.kind_reason,
        layers=layers,
        parameters=traits.parameters,
        quantization=quantization,
        dtype=traits.dtype,
        created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        parent=parent_hex,
        overrides=Overrides(),
    )
    if parent.overrides == Overrides():
        return plain
    # The parent of a model with settings of its own is the manifest without them, which is `plain`.
    return msgspec.structs.replace(plain, parent=hashlib.sha256(encode(plain)).hexdigest(), overrides=parent.overrides)
