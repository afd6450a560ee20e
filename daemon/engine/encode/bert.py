"""BERT and its kin (RoBERTa, XLM-R): encoders with absolute positions, as in Transformers' modeling_bert.py.

Modules are named as their weights are, so that a checkpoint loads as it stands, quantized ones of mlx-vlm's names too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from .activations import activation
from .encoders import ROBERTA
from .module import Module
from .padding import Padded

_PREFIXES = ("bert.", "roberta.")
_UNUSED = ("cls.", "lm_head.", "embeddings.position_ids", "embeddings.token_type_ids")


class Embeddings(Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.word_embeddings = nn.Embedding(config["vocab_size"], width)
        self.position_embeddings = nn.Embedding(config["max_position_embeddings"], width)
        self.token_type_embeddings = nn.Embedding(config.get("type_vocab_size", 2), width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.get("layer_norm_eps", 1e-12))

    def __call__(self, tokens: mx.array, positions: mx.array, segments: mx.array | None) -> mx.array:
        kinds = self.token_type_embeddings(mx.array([0]) if segments is None else segments)
        embedded: mx.array = self.word_embeddings(tokens) + kinds + self.position_embeddings(positions)
        normed: mx.array = self.LayerNorm(embedded)
        return normed


class SelfAttention(Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def __call__(self, x: mx.array, mask: mx.array | None) -> mx.array:
        rows, length, width = x.shape

        def split(y: mx.array) -> mx.array:
            return y.reshape(rows, length, self._heads, -1).transpose(0, 2, 1, 3)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scale = (width // self._heads) ** -0.5
        attended = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)
        return attended.transpose(0, 2, 1, 3).reshape(rows, length, width)


class Residual(Module):
    """A projection back to the model's width, added to what came in, normed."""

    def __init__(self, inner: int, width: int, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)

    def __call__(self, x: mx.array, residual: mx.array) -> mx.array:
        normed: mx.array = self.LayerNorm(self.dense(x) + residual)
        return normed


class Attention(Module):
    def __init__(self, width: int, heads: int, eps: float) -> None:
        super().__init__()
        self.self = SelfAttention(width, heads)
        self.output = Residual(width, width, eps)

    def __call__(self, x: mx.array, mask: mx.array | None) -> mx.array:
        attended: mx.array = self.output(self.self(x, mask), x)
        return attended


class Intermediate(Module):
    def __init__(self, width: int, inner: int, name: str) -> None:
        super().__init__()
        self.dense = nn.Linear(width, inner)
        self._activation = activation(name)

    def __call__(self, x: mx.array) -> mx.array:
        inner: mx.array = self.dense(x)
        return self._activation(inner)


class Layer(Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, inner, eps = config["hidden_size"], config["intermediate_size"], config.get("layer_norm_eps", 1e-12)
        self.attention = Attention(width, config["num_attention_heads"], eps)
        self.intermediate = Intermediate(width, inner, config.get("hidden_act", "gelu"))
        self.output = Residual(inner, width, eps)

    def __call__(self, x: mx.array, mask: mx.array | None) -> mx.array:
        x = self.attention(x, mask)
        out: mx.array = self.output(self.intermediate(x), x)
        return out


class Layers(Module):
    layer: list[Layer]

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.layer = [Layer(config) for _ in range(config["num_hidden_layers"])]


class Bert(Module):
    """`first_position`: RoBERTa's positions begin after the padding index."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError(
                f"Model type with position_embedding_type {config['position_embedding_type']!r} is not supported"
            )
        self.embeddings = Embeddings(config)
        self.encoder = Layers(config)
        roberta = config["model_type"] in ROBERTA
        self._padding: int | None = int(config.get("pad_token_id", 1)) if roberta else None

    def states(self, rows: Padded) -> mx.array:
        """The last layer's states, (rows, width, hidden)."""
        x: mx.array = self.embeddings(rows.tokens, self._positions(rows), rows.segments)
        mask = rows.key_mask()
        for layer in self.encoder.layer:
            x = layer(x, mask)
        return x

    def _positions(self, rows: Padded) -> mx.array:
        """RoBERTa counts tokens that are not its padding token, wherever they stand, from the one after its number."""
        if self._padding is None:
            return mx.arange(rows.width)[None]
        counted = ((rows.tokens != self._padding) & rows.present()).astype(mx.int32)
        return mx.cumsum(counted, axis=1) * counted + self._padding

    def sanitize(self, weights: dict[str, mx.array]) -> dict[str, mx.array]:
        """Weights by this module's names; those of heads that it lacks are left out."""
        names = {_stripped(name): weight for name, weight in weights.items()}
        own = ("pooler.", "classifier.")
        unused = _UNUSED + tuple(head for head in own if head.removesuffix(".") not in self)
        return {name: weight for name, weight in names.items() if not name.startswith(unused)}


class BertClassifier(Bert):
    """A cross-encoder with one label: BERT's pooler, or RoBERTa's head, on the first token's state."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        width = config["hidden_size"]
        if config["model_type"] in ROBERTA:
            self.classifier: Any = RobertaHead(width)
        else:
            self.pooler = Pooler(width)
            self.classifier = nn.Linear(width, 1)

    def logits(self, rows: Padded) -> mx.array:
        """(rows, 1)."""
        first = self.states(rows)[:, 0]
        logits: mx.array = self.classifier(self.pooler(first) if "pooler" in self else first)
        return logits


class Pooler(Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def __call__(self, first: mx.array) -> mx.array:
        return mx.tanh(self.dense(first))


class RobertaHead(Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, 1)

    def __call__(self, first: mx.array) -> mx.array:
        logits: mx.array = self.out_proj(mx.tanh(self.dense(first)))
        return logits


def _stripped(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name
