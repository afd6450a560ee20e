"""Whether config.json can belong to the weights beside it: layers, width and vocabulary, before anything is built.

Whoever builds a network believes the config first and reads the weights later: a thousand million layers are gigabytes
of memory then. Only the impossible is refused, for there are many layouts: further layers for drafts, tied embeddings,
packed weights, towers for pictures.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..errors import DamagedModel
from .weights import Tensor

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_transformer_layers", "depth")
_TEXT = ("text_config", "llm_config", "language_config")
_LAYER = re.compile(r"(?P<prefix>(?:^|.*\.)(?:layers|layer|blocks|h))\.(?P<index>\d{1,9})\.")
_ELSEWHERE = re.compile(r"vision|visual|image|audio|speech|video|draft|mtp")
_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in", "embedding.word_embeddings")
# Their layers share weights, so fewer are stored than run.
_SHARING = ("afm7", "albert")
_HINT = "the files do not belong together: look for another conversion, or fetch the model again"


def check_layers(config: Mapping[str, Any], tensors: Collection[str]) -> None:
    """Raises DamagedModel where config.json counts more layers than the tensors' names."""
    for path, section in _sections(config):
        for key in _LAYERS:
            claimed = section.get(key)
            if not isinstance(claimed, int) or isinstance(claimed, bool):
                continue
            held = len(tensors)
            if path in ("", *_TEXT) and key != "depth" and section.get("model_type") not in _SHARING:
                held = _stored_layers(tensors) or held
            if claimed > held:
                raise _contradiction(f"{_dotted(path, key)} is {claimed}", f"the weights hold {held} layers at most")


def check_sizes(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raises DamagedModel where the embeddings have quite another width, or far fewer words, than config.json says.

    There may be one for sounds beside the one for words, and one that fits is enough.
    """
    path, section = next(((path, part) for path, part in _sections(config) if path in _TEXT), ("", config))
    found = [tensor for name, tensor in tensors.items() if _is_embedding(name) and len(tensor.shape) == 2]
    if not found:
        return
    rows = max(tensor.shape[0] for tensor in found)
    words, width = section.get("vocab_size"), section.get("hidden_size")
    if isinstance(words, int) and words > 2 * rows + 1024:
        raise _contradiction(f"{_dotted(path, 'vocab_size')} is {words}", f"the embedding has {rows} rows")
    # Other keys may name the embedding's width, where it is projected to the width of the layers.
    stated = {value for _, part in _sections(config) for value in part.values() if isinstance(value, int)}
    plain = [tensor.shape[1] for tensor in found if tensor.dtype in ("F32", "F16", "BF16")]
    if isinstance(width, int) and width > 0 and len(plain) == len(found) and stated.isdisjoint(plain):
        raise _contradiction(f"{_dotted(path, 'hidden_size')} is {width}", f"the embedding has {plain[0]} columns")


def _is_embedding(name: str) -> bool:
    return name.removesuffix(".weight").endswith(_EMBEDDINGS) and not _ELSEWHERE.search(name)


def _sections(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The whole and every object in it, by its dotted path."""
    yield path, value
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _sections(inner, f"{path}.{key}" if path else key)


def _stored_layers(tensors: Collection[str]) -> int:
    """One more than the highest number of a layer that is no tower's; 0 where no name has one."""
    found = (match for name in tensors if (match := _LAYER.match(name)) and not _ELSEWHERE.search(match["prefix"]))
    return max((int(match["index"]) + 1 for match in found), default=0)


def _dotted(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _contradiction(claim: str, held: str) -> DamagedModel:
    return DamagedModel(f"config.json and the weights contradict each other: {claim}, and {held}", hint=_HINT)
