"""The model that is to be quantized, without a byte of its weights read: lazy arrays in mlx-lm's or mlx-vlm's classes.

Which library's classes and rules hold: mlx-lm's for language models and for decoders that embed or rerank, mlx-vlm's
for vision models, and its encoders (BERT, XLM-R, ModernBERT) for the embedding models and rerankers that mlx-lm lacks.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_map_with_path
from mlx_lm import utils as lm
from mlx_lm.convert import MODEL_CONVERSION_DTYPES

from ...protocol import Kind, Quantize
from ..encode.open import is_decoder, with_any_head
from ..model.model_folder import BadModel, UnsupportedModel, read_json
from ..model.network import Classes, Unfollowed, every_spelling, open_network, tensor_names

HEADS = ("score", "classifier", "classifier.dense", "classifier.out_proj", "head.dense", "pooler.dense")
"""Heads of rerankers: a handful of weights that every score goes through."""

_PLAIN = ("BOOL", "U8", "I8", "U16", "I16", "I32", "I64", "F16", "BF16", "F32", "F64")
_MAX_HEADER = 100 << 20

Predicate = Callable[[str, nn.Module], bool | dict[str, Any]]


@dataclass
class SourceModel:
    """`network` has lazy weights, `config` is what the library makes of config.json, `weight_bytes` are on disk."""

    network: Any
    config: dict[str, Any]
    weight_bytes: int
    sees: bool
    predicate: Predicate | None

    def quantize(self, order: Quantize) -> dict[str, Any]:
        """Replace layers by quantized ones, still lazy; returns the settings for config.json."""
        if self.sees:
            from mlx_vlm.quant_utils import quantize_model
        else:
            quantize_model = lm.quantize_model
        self.network, config = quantize_model(
            self.network, self.config, order.group_size, order.bits, mode=order.mode, quant_predicate=self.predicate
        )
        settings: dict[str, Any] = config["quantization"]
        return settings

    def cast(self, choose: Callable[[str], object]) -> None:
        """Give floating weights the type that config.json names, as both libraries' `convert` does.

        `choose` is called with the path of every weight before its operation is made.
        """
        stated: Any = self.config.get("torch_dtype")
        if stated is None and (text := self.config.get("text_config")):
            stated = text.get("torch_dtype")
        if stated not in MODEL_CONVERSION_DTYPES:
            return
        dtype = getattr(mx, stated)
        wanted: Callable[[str], bool] = getattr(self.network, "cast_predicate", lambda _: True)

        def convert(path: str, weight: mx.array) -> mx.array:
            if wanted(path) and mx.issubdtype(weight.dtype, mx.floating):
                choose(path.rpartition(".")[0])
                return weight.astype(dtype)
            return weight

        self.network.update(tree_map_with_path(convert, self.network.parameters()))

    @property
    def keeps_vision(self) -> bool:
        """Whether the weights of a vision tower, where the model has one, are in the network."""
        return self.sees or "vision_tower" in getattr(self.network, "model", {})


def open_source(folder: Path, kind: Kind) -> SourceModel:
    """Raises BadModel, UnsupportedModel, and what the libraries raise."""
    config = read_json(folder / "config.json")
    _refuse(folder, config)
    weight_bytes = _weight_bytes(folder)
    if kind == "vlm" or (kind != "llm" and config.get("vision_config")):
        network, config = _seeing(folder)
        return SourceModel(network, config, weight_bytes, True, _outside_towers(network))
    if kind == "llm":
        network, config = _decoder(folder, config, lm._get_classes)
        return SourceModel(network, config, weight_bytes, False, None)
    if is_decoder(config):
        network, config = _decoder(folder, config, with_any_head)
        return SourceModel(network, config, weight_bytes, False, _outside_heads(network))
    network = _encoder(folder, kind)
    return SourceModel(network, config, weight_bytes, True, _outside_heads(network))


def _refuse(folder: Path, config: dict[str, Any]) -> None:
    for key in ("model_file", "auto_map", "trust_remote_code"):
        if config.get(key):
            raise UnsupportedModel(f"config.json asks to run code of its own ({key}), which mlx-serve never does")
    text = config.get("text_config")
    places = [config, text] if isinstance(text, dict) else [config]
    quantized = any(place.get(key) for place in places for key in ("quantization", "quantization_config"))
    if quantized or (folder / "hf_quant_config.json").exists():
        raise UnsupportedModel("its weights are quantized already")


def _weight_bytes(folder: Path) -> int:
    """Bytes of tensors in the model's own files; refuses types that only a quantized checkpoint has."""
    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            try:
                header: Any = json.loads(file.read(length)) if length <= _MAX_HEADER else None
                entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
                dtypes = {str(entry["dtype"]) for entry in entries.values()}
                total += sum(entry["data_offsets"][1] - entry["data_offsets"][0] for entry in entries.values())
            except (ValueError, AttributeError, KeyError, TypeError, IndexError, RecursionError):
                raise BadModel(f"{path.name} has no valid header") from None
        if foreign := sorted(dtypes - set(_PLAIN)):
            raise UnsupportedModel(f"its weights are quantized already ({path.name} holds {foreign[0][:20]})")
    return total


def _decoder(folder: Path, config: dict[str, Any], classes: Classes) -> tuple[Any, dict[str, Any]]:
    try:
        return open_network(folder, config, classes)
    except Unfollowed as error:
        raise UnsupportedModel(str(error)) from error


def _outside_heads(network: Any) -> Predicate:
    own: Predicate | None = getattr(network, "quant_predicate", None)
    return lambda path, module: path not in HEADS and (own is None or own(path, module))


def _seeing(folder: Path) -> tuple[Any, dict[str, Any]]:
    from ..vision.checkpoint import open_whole  # mlx-vlm takes seconds to import

    network, config = open_whole(folder, read_json(folder / "config.json"))
    config.setdefault("vision_config", {})
    return network, config


def _outside_towers(network: Any) -> Predicate:
    """mlx_vlm.convert's own rule, which stands inside that function."""
    from mlx_vlm.utils import skip_multimodal_module

    own: Predicate | None = getattr(network, "quant_predicate", None)

    def predicate(path: str, module: nn.Module) -> bool | dict[str, Any]:
        if skip_multimodal_module(path):
            return False
        return True if own is None else own(path, module)

    return predicate


def _encoder(folder: Path, kind: Kind) -> Any:
    from mlx_vlm.embedding_loader import load_embedding_model
    from mlx_vlm.reranker_loader import load_sequence_classification_model

    load = load_sequence_classification_model if kind == "reranker" else load_embedding_model
    with _respelled(folder) as respelled:
        return load(respelled, lazy=True)


@contextmanager
def _respelled(folder: Path) -> Iterator[Path]:
    """Links to a model's files, for mlx-vlm takes a config from a folder only; the config is in every spelling.

    Numbered folders stay outside: a loader would take their dense layers after the pooling for the encoder's own.
    """
    with tempfile.TemporaryDirectory() as alone:
        for path in folder.iterdir():
            if path.is_file() and path.name != "config.json":
                (Path(alone) / path.name).symlink_to(path.resolve())
        config = every_spelling(read_json(folder / "config.json"), tensor_names(folder))
        (Path(alone) / "config.json").write_text(json.dumps(config))
        yield Path(alone)


def sizes(network: Any) -> dict[str, int]:
    """Bytes of every weight as it stands, by name."""
    return {name: weight.nbytes for name, weight in tree_flatten(network.parameters())}
