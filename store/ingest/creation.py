"""Ollama's `create`: a model with an installed one's files and other settings, or a model of uploaded files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import msgspec

from ..allowlist import media_type, size_limit
from ..disk.blobs import Blobs, hex_of
from ..disk.manifests import Layer, Manifest, Manifests, Overrides, Source, inherited
from ..disk.pins import Pins
from ..disk.refs import Ref, Refs
from ..errors import DamagedModel, SourceError
from ..inspect.findings import inspect
from ..inspect.kinds import template_capabilities
from ..names import Name
from .recorder import NewModel, manifest_of, now

UPLOADED = Source(kind="local", location="uploaded files")


@dataclass(frozen=True)
class Creator:
    """Writes manifests over blobs that are stored. The caller holds the store's lock shared."""

    blobs: Blobs
    manifests: Manifests
    refs: Refs
    pins: Pins

    def variant(self, parent: Manifest, base: str, target: Name, given: Overrides) -> Ref:
        """A model with `parent`'s files and other settings; `base` is the manifest (hex) that those files came with."""
        overrides = inherited(parent.overrides, given)
        manifest = msgspec.structs.replace(
            parent, parent=base, created=now(), overrides=overrides, **_template_capabilities(parent, given)
        )
        return self.refs.set(target, self.manifests.put(manifest))

    def from_files(self, files: Mapping[str, str], target: Name, overrides: Overrides) -> Ref:
        """A model of uploaded files: path -> digest. Raises SourceError, UnsupportedModel, DamagedModel."""
        if len({path.lower() for path in files}) < len(files):
            raise SourceError("two files differ only in case, which not every file system supports")
        layers = tuple([self._layer(path, digest) for path, digest in sorted(files.items())])
        if not any(layer.path.endswith(".safetensors") for layer in layers):
            raise SourceError("none of the files is a .safetensors file, so the model would have no weights")
        locations = {layer.path: self.blobs.path(layer.hex) for layer in layers}
        findings = inspect(locations, (target.model,), None)
        manifest = manifest_of(NewModel(target, UPLOADED, ()), findings, layers)
        manifest = msgspec.structs.replace(manifest, overrides=overrides, **_template_capabilities(manifest, overrides))
        ref = self.refs.set(target, self.manifests.put(manifest))
        self.pins.release(layer.hex for layer in layers)
        return ref

    def _layer(self, path: str, digest: str) -> Layer:
        if PurePosixPath(path).is_absolute() or ".." in path.split("/"):
            raise SourceError("file path must be relative")
        kind = media_type(path)
        if kind is None:
            raise SourceError(
                f"{path[:200]!r} is not a file of a model in Hugging Face or MLX layout",
                hint="upload config.json, the tokenizer files and the .safetensors files",
            )
        hex_digest = hex_of(digest)
        location = self.blobs.path(hex_digest)
        try:
            size = location.lstat().st_size
        except FileNotFoundError:
            raise SourceError(
                f"the file {path[:200]!r} (sha256:{hex_digest}) has not been uploaded",
                hint=f"upload it first: POST /api/blobs/sha256:{hex_digest}",
            ) from None
        limit = size_limit(path)
        if limit is not None and size > limit:
            raise SourceError(f"{path[:200]!r} is too large: {size} bytes; the limit is {limit}")
        if (problem := self.blobs.state(hex_digest, size)) is not None:
            raise DamagedModel(f"the file {path[:200]!r} {problem}")
        return Layer(path=path, digest=f"sha256:{hex_digest}", size=size, media_type=kind)


def _template_capabilities(own: Manifest, given: Overrides) -> dict[str, tuple[str, ...]]:
    """The manifest fields that a new template changes."""
    if given.template is None:
        return {}
    inserts = "insert" in own.capabilities
    return {"capabilities": template_capabilities(own.kind, given.template, inserts=inserts)}
