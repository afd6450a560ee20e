"""A model's manifest: canonical JSON, itself a blob, whose sha256 is the model's digest."""

from __future__ import annotations

import os
from typing import Any, Literal

import msgspec

from .. import allowlist
from ..errors import DamagedModel
from .blobs import Blobs, hex_of

Kind = Literal["llm", "vlm", "embedding", "reranker"]
KINDS: tuple[Kind, ...] = ("llm", "vlm", "embedding", "reranker")

SCHEMA = 1
_LIMIT = 16 << 20
_MAX_LAYERS = 100_000


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One file: its path in the model, `sha256:<hex>`, size in bytes, media type."""

    path: str
    digest: str
    size: int
    media_type: str

    @property
    def hex(self) -> str:
        return hex_of(self.digest)


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where the files came from. `revision` is the commit of a hub repository."""

    kind: Literal["local", "builtin", "hub", "copy"]
    location: str
    revision: str | None = None


class Quantization(msgspec.Struct, frozen=True, kw_only=True):
    """How most weights are quantized; config.json says which layers differ."""

    bits: int
    group_size: int
    mode: str


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that replace the model's own (Ollama's `create`)."""

    system: str | None = None
    template: str | None = None
    parameters: dict[str, Any] = {}
    messages: tuple[dict[str, Any], ...] = ()
    license: tuple[str, ...] = ()


def inherited(parent: Overrides, given: Overrides) -> Overrides:
    """Ollama's rules: parameters are merged one by one, every other given setting replaces the parent's.

    In `given`, None and empty tuples mean "not given"; an empty system prompt removes the parent's.
    """
    return Overrides(
        system=(given.system or None) if given.system is not None else parent.system,
        template=given.template if given.template is not None else parent.template,
        parameters=parent.parameters | given.parameters,
        messages=given.messages or parent.messages,
        license=given.license or parent.license,
    )


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one model. `parameters` counts weights as trained, `created` is RFC 3339 in UTC."""

    schema: int = SCHEMA
    source: Source
    kind: Kind
    kind_reason: str
    layers: tuple[Layer, ...]
    architecture: str
    parameters: int
    context_length: int | None = None
    embedding_length: int | None = None
    quantization: Quantization | None = None
    dtype: str | None = None
    capabilities: tuple[str, ...] = ()
    created: str
    parent: str | None = None
    overrides: Overrides = Overrides()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(layer.size for layer in self.layers)


_decoder = msgspec.json.Decoder(Manifest)


def encode(manifest: Manifest) -> bytes:
    """Sorted keys, no spaces: the same manifest always has the same digest."""
    return msgspec.json.encode(manifest, order="sorted")


def decode(data: bytes) -> Manifest:
    """Raises DamagedModel for an invalid manifest, another schema version, or a file that is not allowed in a model."""
    try:
        manifest = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DamagedModel(f"the manifest is not valid: {str(error)[:200]}") from error
    if manifest.schema != SCHEMA:
        raise DamagedModel(f"the manifest has version {manifest.schema}, written by a newer mlx-serve")
    if not 0 < len(manifest.layers) <= _MAX_LAYERS:
        raise DamagedModel(f"the manifest names no files, or more than {_MAX_LAYERS:,}")
    seen: set[str] = set()
    for layer in manifest.layers:
        if allowlist.media_type(layer.path) is None or layer.path.lower() in seen or layer.size < 0:
            raise DamagedModel(f"the manifest names a file that is not allowed in a model: {layer.path[:100]!r}")
        if layer.digest != f"sha256:{layer.hex}":
            raise DamagedModel(f"the manifest has a malformed digest for {layer.path}")
        seen.add(layer.path.lower())
    return manifest


class Manifests:
    """The manifests of one store, each cached: the content of a digest never changes."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._known: dict[str, tuple[tuple[int, int], Manifest]] = {}

    def put(self, manifest: Manifest) -> str:
        """The digest (hex)."""
        return self._blobs.put(encode(manifest)).hex

    def get(self, hex_digest: str) -> Manifest:
        """Raises DamagedModel."""
        try:
            status = os.lstat(self._blobs.path(hex_digest))
        except OSError:
            raise DamagedModel(f"the manifest sha256:{hex_digest} is missing") from None
        mark = (status.st_ino, status.st_mtime_ns)
        known = self._known.get(hex_digest)
        if known is not None and known[0] == mark:
            return known[1]
        manifest = decode(self._blobs.read(hex_digest, _LIMIT))
        self._known[hex_digest] = (mark, manifest)
        return manifest

    def forget(self, kept: set[str]) -> None:
        """Drop all manifests from the cache except `kept`."""
        for hex_digest in set(self._known) - kept:
            self._known.pop(hex_digest, None)
