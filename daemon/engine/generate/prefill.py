"""Prompts on their way into the caches: a group of sequences, side by side, chunk by chunk.

A group starts from empty caches of mlx-lm's own classes. All but the last token of each sequence go in; the last one is
the sequence's first decode input. Shorter prompts of a group are padded on the right: with causal attention nothing
before the padding sees it, and it is not copied into the batch.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from ..model.inputs import Inputs
from ..model.load import LanguageModel
from .sequence import Sequence


class Prefill:
    def __init__(self, model: LanguageModel, sequences: list[Sequence]) -> None:
        self._network = model.network
        self.sequences = sequences
        self.caches: list[Any] = make_prompt_cache(model.network)
        self.total = max(sequence.length for sequence in sequences) - 1
        self.done = 0
        self._state: list[Any] = []

    @property
    def complete(self) -> bool:
        return self.done >= self.total

    def members(self) -> list[tuple[int, Sequence]]:
        """The sequences that are still wanted, with their rows in the caches."""
        return [(row, one) for row, one in enumerate(self.sequences) if one.reason is None]

    def drop(self, sequence_id: int) -> None:
        for sequence in self.sequences:
            if sequence.id == sequence_id:
                sequence.reason = "stop"

    @property
    def abandoned(self) -> bool:
        return not self.members()

    def step(self, budget: int) -> int:
        """Start the next chunk, at most `budget` tokens over the whole group; gives how many prompt tokens it takes."""
        if self.complete:
            return 0
        mx.eval(self._state)
        width = min(self.total - self.done, max(1, budget // len(self.sequences)))
        end = self.done + width
        rows = [sequence.tokens[self.done : min(end, sequence.length - 1)] for sequence in self.sequences]
        tokens = mx.array([row + [0] * (width - len(row)) for row in rows])
        Inputs(tokens).apply(self._network, self.caches)
        self._state = [cache.state for cache in self.caches]
        mx.async_eval(self._state)
        self.done = end
        return sum(map(len, rows))
