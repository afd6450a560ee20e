"""What a loaded network takes and how fast it is: figures for the budget of a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from ..device import backend

PROBE_TOKENS = 32
_FLOAT = 4


@dataclass(frozen=True)
class Facts:
    """Bytes: of the weights, of what one token's states take at most at once in a step, and of what each pair of
    tokens of a row takes, where attention keeps its scores. `vocabulary`: the limit for token ids."""

    weight_bytes: int
    token_bytes: int
    pair_bytes: int
    vocabulary: int

    @classmethod
    def of(cls, network: Any, config: Mapping[str, Any]) -> Facts:
        hidden, inner = int(config["hidden_size"]), int(config.get("intermediate_size", 0))
        heads = int(config["num_attention_heads"])
        return cls(
            weight_bytes=sum(array.nbytes for _, array in tree_flatten(network.parameters())),
            token_bytes=(8 * hidden + 3 * inner) * _FLOAT,
            # Only Metal has a fused attention that takes masks of any shape.
            pair_bytes=0 if backend() == "metal" else 2 * heads * _FLOAT,
            vocabulary=int(config["vocab_size"]),
        )


def measured(compute: Callable[[int], mx.array]) -> float:
    """Tokens a second of one row of a few tokens, from its second run: the first compiles kernels and reads weights."""
    seconds = 0.0
    for _ in range(2):
        began = time.monotonic()
        mx.eval(compute(PROBE_TOKENS))
        seconds = time.monotonic() - began
    return PROBE_TOKENS / max(seconds, 1e-6)
