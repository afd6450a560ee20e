"""A folder to a network that gives hidden states or scores, its weights not read yet."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import mlx.core as mx
import mlx.nn as nn
from mlx_lm import utils as lm

from ..model.network import open_network
from .bert import Bert, BertClassifier
from .decoder import BothWays, CausalStates
from .encoders import MODERN
from .modernbert import ModernBert, ModernBertClassifier
from .padding import Padded


class Encoder(Protocol):
    """Rows of tokens to their states, (rows, width, hidden), lazily."""

    def states(self, rows: Padded) -> mx.array: ...


class Classifier(Protocol):
    """Rows of tokens to one logit each, (rows, 1), lazily."""

    def logits(self, rows: Padded) -> mx.array: ...


def open_encoder(folder: Path, config: Mapping[str, Any]) -> Any:
    """An `Encoder`. Raises ValueError and what MLX raises."""
    return _filled(ModernBert(config) if config["model_type"] == MODERN else Bert(config), folder, config)


def open_classifier(folder: Path, config: Mapping[str, Any]) -> Any:
    """A `Classifier`. Raises ValueError and what MLX raises."""
    modern = config["model_type"] == MODERN
    return _filled(ModernBertClassifier(config) if modern else BertClassifier(config), folder, config)


def open_decoder(folder: Path, config: Mapping[str, Any]) -> Any:
    """mlx-lm's network, with or without a language head. Raises what `open_network` raises."""
    network, _ = open_network(folder, config, with_any_head)
    return network


def decoder_states(network: Any, config: Mapping[str, Any]) -> Encoder:
    """Raises ValueError where the decoder looks another way than mlx-lm's code does."""
    if not hasattr(network, "model"):
        raise ValueError(f"Model type {config.get('model_type')!r} is not supported: its code gives no hidden states")
    if config.get("use_bidirectional_attention"):
        if config.get("model_type") != "gemma3_text":
            raise ValueError(f"Model type {config.get('model_type')!r} is not supported with bidirectional attention")
        return BothWays(network)
    if config.get("is_causal") is False:
        raise ValueError(f"Model type {config.get('model_type')!r} is not supported with is_causal: false")
    return CausalStates(network)


def is_decoder(config: Mapping[str, Any]) -> bool:
    """Whether mlx-lm has code for it."""
    model_type = str(config.get("model_type"))
    name = lm.MODEL_REMAPPING.get(model_type, model_type)
    return name.isidentifier() and importlib.util.find_spec(f"mlx_lm.models.{name}") is not None


def with_any_head(config: dict[str, Any]) -> tuple[type[nn.Module], type]:
    """mlx-lm's class for a decoder that embeds or reranks: it may lack the language head or have a score instead.

    Sentence Transformers saves the bare decoder, whose names lack the leading `model.`.
    """
    plain, arguments = lm._get_classes(config)

    class Decoder(plain):  # type: ignore[misc, valid-type]
        def sanitize(self, weights: dict[str, mx.array]) -> dict[str, mx.array]:
            if not any(name.startswith("model.") for name in weights):
                heads = ("lm_head.", "score.")
                weights = {name if name.startswith(heads) else f"model.{name}": w for name, w in weights.items()}
            score = weights.get("score.weight")
            if hasattr(super(), "sanitize"):
                weights = super().sanitize(weights)
            if score is not None:
                self.score = nn.Linear(score.shape[1], score.shape[0], bias="score.bias" in weights)
            if "lm_head" in self and "lm_head.weight" not in weights:
                self.pop("lm_head")
            return weights

    return Decoder, arguments


def _filled(network: Any, folder: Path, config: Mapping[str, Any]) -> Any:
    """With the folder's own weights; those in numbered folders belong to later modules."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError("no safetensors file is there")
    weights: dict[str, mx.array] = {}
    for path in files:
        weights |= tensors(path)
    weights = network.sanitize(weights)
    if isinstance(quantization := config.get("quantization"), dict):
        _quantize(network, weights, quantization)
    network.load_weights(list(weights.items()), strict=True)
    network.eval()
    return network


def tensors(path: Path) -> dict[str, mx.array]:
    """Of one safetensors file, not read yet."""
    loaded: Any = mx.load(str(path))
    return dict(loaded)


def _quantize(network: nn.Module, weights: Mapping[str, mx.array], settings: Mapping[str, Any]) -> None:
    """Layers whose packed weights are there become quantized ones, as the config says of each."""

    def how(path: str, module: nn.Module) -> bool | dict[str, Any]:
        if f"{path}.scales" not in weights or not hasattr(module, "to_quantized"):
            return False
        own = settings.get(path)
        return dict(own) if isinstance(own, dict) else True

    nn.quantize(
        network,
        group_size=settings["group_size"],
        bits=settings["bits"],
        mode=settings.get("mode", "affine"),
        class_predicate=how,
    )
