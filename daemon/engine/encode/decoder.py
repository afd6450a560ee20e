"""Decoders as encoders: the states of mlx-lm's causal networks, and of Gemma 3 where it looks both ways."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from ..cache.rows import paddable
from ..texts.row import Row
from .padding import Padded


class CausalStates:
    """No token sees what comes after it, so padding on the right changes nothing and needs no mask; and a long row can
    be computed in pieces."""

    def __init__(self, network: Any) -> None:
        self.network = network

    @property
    def resumes(self) -> bool:
        """Whether its caches say how far they are: plain attention."""
        return paddable(make_prompt_cache(self.network))

    def states(self, rows: Padded) -> mx.array:
        """After the last norm, (rows, width, hidden)."""
        states: mx.array = self.network.model(rows.tokens)
        return states

    def begin(self, row: Row, budget: int) -> tuple[list[Any], int]:
        """The next piece of a row's beginning, as `Task.head` has it; nothing when the rest is within the budget."""
        if row.caches is None:
            if len(row.tokens) <= budget:
                return [], 0
            row.caches = make_prompt_cache(self.network)
        done = row.caches[0].offset
        if len(row.tokens) - done <= budget:
            return [], 0
        self.network.model(mx.array([row.tokens[done : done + budget]]), cache=row.caches)
        return [cache.state for cache in row.caches], budget

    def last_state(self, row: Row) -> mx.array:
        """Of a row that was begun, (1, hidden)."""
        assert row.caches is not None
        rest = row.tokens[row.caches[0].offset :]
        states: mx.array = self.network.model(mx.array([rest]), cache=row.caches)
        return states[:, -1]


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
