"""Decoders as encoders: the states of mlx-lm's causal networks, and of Gemma 3 where it looks both ways."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from .padding import Padded


class CausalStates:
    """No token sees what comes after it, so padding on the right changes nothing and needs no mask."""

    def __init__(self, network: Any) -> None:
        self.network = network

    def states(self, rows: Padded) -> mx.array:
        """After the last norm, (rows, width, hidden)."""
        states: mx.array = self.network.model(rows.tokens)
        return states


class BothWays:
    """EmbeddingGemma: Gemma 3 with `use_bidirectional_attention`, as in Transformers' modeling_gemma3.py.

    Its window is halved there, with the token itself on top; and the embeddings' scale is as exact as the weights are,
    where mlx-lm rounds it to bfloat16.
    """

    def __init__(self, network: Any) -> None:
        self.network = network
        args = network.args
        self._nearest = args.sliding_window // 2 + 1
        self._pattern = args.sliding_window_pattern
        self._scale = args.hidden_size**0.5

    def states(self, rows: Padded) -> mx.array:
        """After the last norm, (rows, width, hidden)."""
        model = self.network.model
        x: mx.array = model.embed_tokens(rows.tokens)
        x = x * mx.array(self._scale, x.dtype)
        everywhere, near = rows.key_mask(), rows.window_mask(self._nearest)
        for index, layer in enumerate(model.layers):
            x = layer(x, near if (index + 1) % self._pattern else everywhere, None)
        normed: mx.array = model.norm(x)
        return normed
