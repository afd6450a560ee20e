"""Everything a manifest says about a model's files, found out before one of them is stored; knows no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import architectures
from .configs import Files, refuse_remote_code
from .errors import DamagedModel, UnsupportedModel
from .kinds import capabilities, detect
from .manifests import Kind
from .traits import Traits, read_traits
from .weights import Tensor, read_header, read_headers, shards
from .weightsets import INDEX, WEIGHTS


@dataclass(frozen=True)
class Findings:
    kind: Kind
    kind_reason: str
    architecture: str
    capabilities: tuple[str, ...]
    traits: Traits


def inspect(locations: Mapping[str, Path], hints: Sequence[str], kind: Kind | None) -> Findings:
    """Look into the files of a model (path -> real path). `kind` overrides the detection.

    `hints` are the model's names. Raises UnsupportedModel and DamagedModel, always before a byte of weights was read.
    """
    files = Files(locations)
    refuse_remote_code(files)
    config = files.object("config.json")
    architecture = config.get("model_type")
    if not isinstance(architecture, str) or not 0 < len(architecture) <= 96 or not architecture.isprintable():
        raise UnsupportedModel("config.json names no model_type, so nobody can tell which architecture this is")
    tensors = _tensors(files)
    if kind is None:
        detected = detect(files, tensors, hints)
        kind, reason = detected.kind, detected.reason
    else:
        reason = "stated when the model was pulled"
    architectures.check(architecture, kind)
    return Findings(kind, reason, architecture, capabilities(kind, files), read_traits(kind, files, tensors))


def _tensors(files: Files) -> dict[str, Tensor]:
    own = {path: where for path, where in files.locations.items() if path.endswith(WEIGHTS) and "/" not in path}
    index = files.json(INDEX)
    if index is None:
        tensors = read_headers(own)
    else:
        tensors = {}
        placed: dict[str, set[str]] = {path: set() for path in own}
        for tensor, path in shards(index, INDEX).items():
            placed[path].add(tensor)
        for path, where in own.items():
            found = read_header(where, path)
            if not placed[path] <= found.keys():
                raise DamagedModel(f"{path} lacks tensor {min(placed[path] - found.keys())!r}, which {INDEX} promises")
            tensors |= found
    return tensors | _dense(files)


def _dense(files: Files) -> dict[str, Tensor]:
    """The layers that Sentence Transformers puts after the pooling."""
    tensors: dict[str, Tensor] = {}
    modules = files.json("modules.json")
    for module in modules if isinstance(modules, list) else ():
        folder = str(module.get("path", "")) if isinstance(module, dict) else ""
        if folder.endswith("_Dense"):
            weights = f"{folder}/model.safetensors"
            if weights not in files:
                raise UnsupportedModel(f"{folder} has no model.safetensors; its weights are in a format not read here")
            found = read_header(files.locations[weights], weights)
            tensors |= {f"{folder}.{name}": tensor for name, tensor in found.items()}
    return tensors
