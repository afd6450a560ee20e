"""Checks a model before its weights are downloaded, so that an unsupported one costs nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..disk.manifests import Kind
from . import architectures
from .configs import ModelFiles, refuse_remote_code
from .consistency import check_layers
from .findings import architecture_of, refuse_missing_dense
from .kinds import Detected, detect
from .weights import shards
from .weightsets import INDEX

_ANY_VISION = "vision_tower.weight"


@dataclass(frozen=True)
class Preview:
    """`kind` None: only the weights show whether it is a vlm or an llm. `index`: the content of the weights' index."""

    architecture: str
    kind: Kind | None
    index: object | None


def preview(
    locations: Mapping[str, Path], paths: Collection[str], hints: Sequence[str], kind: Kind | None = None
) -> Preview:
    """Inspect the small files (path -> real path) of a model that will have all of `paths`. `kind` overrides.

    Raises UnsupportedModel for what `inspect` would refuse later, as far as the small files show, and DamagedModel for
    unreadable configs. `inspect` decides once the weights are there.
    """
    files = ModelFiles(locations)
    refuse_remote_code(files)
    architecture = architecture_of(files)
    refuse_missing_dense(files, paths)
    index = files.json(INDEX)
    if index is not None:
        check_layers(files.object("config.json"), shards(index, INDEX))
    found = [kind] if kind is not None else _possible(files, index, hints)
    if not any(architectures.known(architecture, each) for each in found):
        architectures.check(architecture, found[0])
    return Preview(architecture, found[0] if len(found) == 1 else None, index)


def _possible(files: ModelFiles, index: object | None, hints: Sequence[str]) -> list[Kind]:
    """One kind, or two when it depends on the names of the tensors and there is no index."""
    if index is not None:
        return [detect(files, shards(index, INDEX).keys(), hints).kind]
    guesses: list[Detected] = [detect(files, [_ANY_VISION], hints), detect(files, [], hints)]
    return list(dict.fromkeys(guess.kind for guess in guesses))
