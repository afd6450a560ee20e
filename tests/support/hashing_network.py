"""A network whose every token depends on all tokens before it, and the answers that a few lines of Python expect of it.

So a row that is mixed up, a token that is taken twice or a count that is off by one shows at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import ArraysCache
from support.engine_wire import GREEDY, Wire

from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.protocol import Sampling

Make = Callable[..., tuple[Generator, Wire]]

ROWS = 320
STATES = 997
TABLE = np.random.default_rng(1).normal(size=(STATES, ROWS)).astype(np.float32)


def follow(state: int, token: int) -> int:
    return (state * 31 + token + 7) % STATES


class Hashing:
    """A network with one recurrent state a row, a hash of the tokens, which picks a row of logits from a table."""

    def __init__(self) -> None:
        self.table = mx.array(TABLE)
        self.calls = 0
        self.fails_at: int | None = None
        self.largest = 10**9

    def make_cache(self) -> list[ArraysCache]:
        return [ArraysCache(1)]

    def __call__(self, tokens: mx.array, cache: list[Any]) -> mx.array:
        self.calls += 1
        if self.calls == self.fails_at:
            raise RuntimeError("the device\nis gone")
        if tokens.shape[1] > self.largest:
            raise RuntimeError("[malloc] Unable to allocate 1000 bytes.")
        state = cache[0][0]
        if state is None:
            state = mx.zeros((tokens.shape[0], 1), dtype=mx.int32)
        states = []
        for place in range(tokens.shape[1]):
            state = (state * 31 + tokens[:, place : place + 1] + 7) % STATES
            states.append(state)
        cache[0][0] = state
        return self.table[mx.concatenate(states, axis=1)]


def answer(prompt: tuple[int, ...], count: int, sampling: Sampling = GREEDY) -> list[int]:
    """What greedy decoding gives, with penalties over the generated tokens (all, or the last few)."""
    state = 0
    for token in prompt:
        state = follow(state, token)
    generated: list[int] = []
    for _ in range(count):
        logits = TABLE[state].astype(np.float64)
        counted = generated[-sampling.penalty_window :] if sampling.penalty_window else generated
        for token in set(counted):
            logits[token] -= counted.count(token) * (sampling.frequency_penalty or 0) + (sampling.presence_penalty or 0)
        generated.append(int(logits.argmax()))
        state = follow(state, generated[-1])
    return generated
