"""Everything a manifest says about a model's files, read before they are stored; knows no store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..disk.manifests import Kind
from ..errors import DamagedModel, UnsupportedModel
from . import architectures
from .configs import ModelFiles, refuse_remote_code
from .consistency import check_layers, check_sizes
from .kinds import capabilities, detect
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
    """Inspect the files of a model (path -> real path). `kind` overrides the detection.

    `hints` are the model's names. Raises UnsupportedModel, DamagedModel. Of weight files only headers are read.
    """
    files = ModelFiles(locations)
    refuse_remote_code(files)
    architecture = architecture_of(files)
    tensors = _tensors(files)
    config = files.object("config.json")
    check_layers(config, tensors)
    check_sizes(config, tensors)
    if kind is None:
        detected = detect(files, tensors, hints)
        kind, reason = detected.kind, detected.reason
    else:
        reason = "stated when the model was pulled"
    architectures.check(architecture, kind)
    return Findings(kind, reason, architecture, capabilities(kind, files), read_traits(kind, files, tensors))


def architecture_of(files: ModelFiles) -> str:
    """The model_type. Raises UnsupportedModel when there is none."""
    architecture = files.object("config.json").get("model_type")
    if not isinstance(architecture, str) or not 0 < len(architecture) <= 96 or not architecture.isprintable():
        raise UnsupportedModel("config.json has no model_type, so the architecture is unknown")
    return architecture


def dense_weights(files: ModelFiles) -> list[tuple[str, str]]:
    """Folder and weight file of each dense layer that Sentence Transformers applies after pooling."""
    modules = files.json("modules.json")
    listed = modules if isinstance(modules, list) else []
    paths = [str(module.get("path", "")) for module in listed if isinstance(module, dict)]
    return [(folder, f"{folder}/model.safetensors") for folder in paths if folder.endswith("_Dense")]


def refuse_missing_dense(files: ModelFiles, there: Collection[str]) -> None:
    """Raises UnsupportedModel when a dense layer has no safetensors weights. `there`: all paths of the model."""
    for folder, weights in dense_weights(files):
        if weights not in there:
            raise UnsupportedModel(f"{folder} has no model.safetensors; its weights are in an unsupported format")


def _tensors(files: ModelFiles) -> dict[str, Tensor]:
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
                raise DamagedModel(
                    f"{path} lacks tensor {min(placed[path] - found.keys())!r}, although {INDEX} lists it"
                )
            tensors |= found
    return tensors | _dense(files)


def _dense(files: ModelFiles) -> dict[str, Tensor]:
    refuse_missing_dense(files, files.locations)
    return {
        f"{folder}.{name}": tensor
        for folder, weights in dense_weights(files)
        for name, tensor in read_header(files.locations[weights], weights).items()
    }
