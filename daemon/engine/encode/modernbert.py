"""ModernBERT: an encoder with rotary positions and a window in most layers, as in Transformers' modeling_modernbert.py.

Modules are named as their weights are, so that a checkpoint loads as it stands, quantized ones of mlx-vlm's names too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from .activations import activation
from .module import Module
from .padding import Padded

SLIDING, FULL = "sliding_attention", "full_attention"
_BASES = {FULL: ("global_rope_theta", 160000.0), SLIDING: ("local_rope_theta", 10000.0)}


class Embeddings(Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.norm = _norm(config)

    def __call__(self, tokens: mx.array) -> mx.array:
        normed: mx.array = self.norm(self.tok_embeddings(tokens))
        return normed


class Attention(Module):
    def __init__(self, config: Mapping[str, Any], base: float) -> None:
        super().__init__()
        width, bias = config["hidden_size"], config.get("attention_bias", False)
        self._heads = config["num_attention_heads"]
        self._scale = (width // self._heads) ** -0.5
        self.Wqkv = nn.Linear(width, 3 * width, bias=bias)
        self.Wo = nn.Linear(width, width, bias=bias)
        self._base = base

    def __call__(self, x: mx.array, mask: mx.array | None) -> mx.array:
        rows, length, width = x.shape
        q, k, v = self.Wqkv(x).reshape(rows, length, 3, self._heads, -1).transpose(2, 0, 3, 1, 4)
        q, k = (mx.fast.rope(y, y.shape[-1], traditional=False, base=self._base, scale=1.0, offset=0) for y in (q, k))
        attended = mx.fast.scaled_dot_product_attention(q, k, v, scale=self._scale, mask=mask)
        out: mx.array = self.Wo(attended.transpose(0, 2, 1, 3).reshape(rows, length, width))
        return out


class GatedMLP(Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, inner, bias = config["hidden_size"], config["intermediate_size"], config.get("mlp_bias", False)
        self.Wi = nn.Linear(width, 2 * inner, bias=bias)
        self.Wo = nn.Linear(inner, width, bias=bias)
        self._activation = activation(config.get("hidden_activation", "gelu"))

    def __call__(self, x: mx.array) -> mx.array:
        inner, gate = mx.split(self.Wi(x), 2, axis=-1)
        out: mx.array = self.Wo(self._activation(inner) * gate)
        return out


class Layer(Module):
    def __init__(self, config: Mapping[str, Any], index: int, base: float) -> None:
        super().__init__()
        self.attn_norm = nn.Identity() if index == 0 else _norm(config)
        self.attn = Attention(config, base)
        self.mlp_norm = _norm(config)
        self.mlp = GatedMLP(config)

    def __call__(self, x: mx.array, mask: mx.array | None) -> mx.array:
        x = x + self.attn(self.attn_norm(x), mask)
        out: mx.array = x + self.mlp(self.mlp_norm(x))
        return out


class ModernBert(Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self._kinds = _layer_types(config)
        # A token sees as many to each side as half of the window, and itself.
        self._nearest = config.get("local_attention", 128) // 2 + 1
        bases = {kind: _base(config, kind) for kind in (FULL, SLIDING)}
        self.embeddings = Embeddings(config)
        self.layers = [Layer(config, index, bases[kind]) for index, kind in enumerate(self._kinds)]
        self.final_norm = _norm(config)

    def states(self, rows: Padded) -> mx.array:
        """The last layer's states, normed, (rows, width, hidden)."""
        masks = {FULL: rows.key_mask(), SLIDING: rows.window_mask(self._nearest)}
        x: mx.array = self.embeddings(rows.tokens)
        for layer, kind in zip(self.layers, self._kinds, strict=True):
            x = layer(x, masks[kind])
        normed: mx.array = self.final_norm(x)
        return normed

    def sanitize(self, weights: dict[str, mx.array]) -> dict[str, mx.array]:
        """Weights by this module's names; those of heads that it lacks are left out."""
        names = {name.removeprefix("model."): weight for name, weight in weights.items()}
        unused = ("decoder.", "pooler.", *(f"{head}." for head in ("head", "classifier") if head not in self))
        return {name: weight for name, weight in names.items() if not name.startswith(unused)}


class ModernBertClassifier(ModernBert):
    """A cross-encoder with one label."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self._pooling = config.get("classifier_pooling", "cls")
        if self._pooling not in ("cls", "mean"):
            raise ValueError(f"Model type with classifier_pooling {self._pooling!r} is not supported")
        self.head = PredictionHead(config)
        self.classifier = nn.Linear(config["hidden_size"], 1)

    def logits(self, rows: Padded) -> mx.array:
        """(rows, 1)."""
        states = self.states(rows)
        if self._pooling == "cls":
            pooled = states[:, 0]
        else:
            pooled = mx.sum(states * rows.present()[..., None], axis=1) / rows.lengths[:, None]
        logits: mx.array = self.classifier(self.head(pooled))
        return logits


class PredictionHead(Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.dense = nn.Linear(width, width, bias=config.get("classifier_bias", False))
        self.norm = _norm(config)
        self._activation = activation(config.get("classifier_activation", "gelu"))

    def __call__(self, pooled: mx.array) -> mx.array:
        out: mx.array = self.norm(self._activation(self.dense(pooled)))
        return out


def _norm(config: Mapping[str, Any]) -> nn.LayerNorm:
    return nn.LayerNorm(config["hidden_size"], eps=config.get("norm_eps", 1e-5), bias=config.get("norm_bias", False))


def _layer_types(config: Mapping[str, Any]) -> list[str]:
    """One a layer: as Transformers 5 lists them, or every n-th is a full one."""
    count = config["num_hidden_layers"]
    kinds = config.get("layer_types") or [
        SLIDING if index % config.get("global_attn_every_n_layers", 3) else FULL for index in range(count)
    ]
    if len(kinds) != count or set(kinds) - {SLIDING, FULL}:
        raise ValueError("config.json: layer_types does not fit the layers")
    return list(kinds)


def _base(config: Mapping[str, Any], kind: str) -> float:
    """Of the rotary positions: `rope_parameters` by layer type, or one key a layer type."""
    entry = (config.get("rope_parameters") or {}).get(kind) or {}
    if entry.get("rope_type", "default") != "default" or config.get("rope_scaling"):
        raise ValueError("Model type with stretched rotary positions (rope_scaling) is not supported")
    key, usual = _BASES[kind]
    return float(entry.get("rope_theta") or config.get(key) or usual)
