"""One vectorised sampler for the whole batch: arrays with one row a sequence, filled from the requests.

The order is OpenAI's, vLLM's and Transformers': bias and penalties on the logits, then temperature, then top-k, top-p
and min-p. A token is drawn by the Gumbel-max trick (arg max of logit + Gumbel noise), with noise that depends on the
row's seed and on how many tokens it has, and on nothing else: a filter only masks, so no neighbour changes a draw.
Each row pays for what it asks: a greedy one for an arg max, a drawn one for its noise and its own filters.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import dataclass

import mlx.core as mx

from .draw import MASK64, Draw
from .filters import Filter, Floors
from .penalties import Penalties
from .scores import likeliest


def noise_key(seed: int, index: int) -> tuple[int, int]:
    """A Threefry key for a seed's index-th token: SplitMix64's output function over seed + index * golden ratio."""
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    z ^= z >> 31
    return z >> 32, z & 0xFFFFFFFF


class Sampler:
    """The draws of the rows that run now. `place` follows every change of the batch; `sample` is one step."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self.draws: list[Draw] = []
        self._penalties: Penalties | None = None
        self.place([], [])

    def place(self, draws: Rows[Draw], history: Rows[Rows[int]], counts_from: Rows[int | None] = ()) -> None:
        """Take these rows. `history` are each row's generated tokens that the penalties count; `counts_from[i]` is the
        old row whose running counts row i goes on with (None: count the history)."""
        self.draws = list(draws)
        self.asked = [row for row, draw in enumerate(draws) if draw.logprobs is not None]
        self.widest = max((draw.logprobs or 0 for draw in draws), default=0)
        self._penalties = (
            Penalties(self.vocabulary, draws, history, self._penalties, counts_from)
            if any(draw.penalised for draw in draws)
            else None
        )
        biases = [(row, token, bias) for row, draw in enumerate(draws) for token, bias in draw.logit_bias.items()]
        self._biases = [mx.array(list(column)) for column in zip(*biases, strict=True)]
        self._sampled = [row for row, draw in enumerate(draws) if not draw.greedy]
        if self._sampled:
            chosen = [draws[row] for row in self._sampled]
            self._sampled_index = mx.array(self._sampled)
            self._temperature = mx.maximum(mx.array([draw.temperature for draw in chosen]), 1e-6)[:, None]
            filters = [Filter(place, one.top_k, one.top_p, one.min_p) for place, one in enumerate(chosen)]
            self._floors = Floors(filters, len(chosen), self.vocabulary)

    @property
    def windowed(self) -> bool:
        """Whether `count` needs to know which tokens leave the rows' penalty windows."""
        return self._penalties is not None and self._penalties.windowed

    @property
    def waits(self) -> bool:
        """Whether `sample` waits for the logits."""
        return bool(self._sampled) and self._floors.waits

    def count(self, tokens: mx.array, leaving: mx.array | None = None) -> None:
        """The rows drew `tokens`, (rows,); `leaving[i]` falls out of row i's window (negative: none)."""
        if self._penalties is not None:
            self._penalties.count(tokens, leaving)

    def sample(self, logits: mx.array, indices: Rows[int], mask: mx.array | None = None) -> Drawn:
        """Draw one token a row from logits of shape (rows, vocabulary); `indices[i]` counts row i's tokens so far.

        `mask` is bool, True where a grammar allows a token. A row whose logits are not finite draws -1.
        """
        adjusted = self._adjusted(logits, mask)
        if not self._sampled:
            tokens = mx.argmax(adjusted, axis=-1).astype(mx.int32)
        elif len(self._sampled) == len(self.draws):
            tokens = self._drawn(adjusted, indices)
        else:
            tokens = mx.argmax(adjusted, axis=-1).astype(mx.int32)
            tokens[self._sampled_index] = self._drawn(adjusted[self._sampled_index], indices)
        highest = mx.max(logits, axis=-1)
        tokens = mx.where(highest - highest == 0, tokens, -1)  # three operations, where `isfinite` has six
        return Drawn(tokens, *self._logprobs(logits, tokens))

    def _adjusted(self, logits: mx.array, mask: mx.array | None) -> mx.array:
        if self._penalties is not None:
            logits = self._penalties.apply(logits.astype(mx.float32))
        if self._biases:
            rows, tokens, values = self._biases
            logits = logits.astype(mx.float32).at[rows, tokens].add(values)
        if mask is not None:
            logits = mx.where(mask, logits, -mx.inf)
        return logits

    def _drawn(self, logits: mx.array, indices: Rows[int]) -> mx.array:
        """A token for each row that is not greedy, (sampled rows,), from the logits of these rows alone."""
        scaled = self._floors.apply(logits.astype(mx.float32) / self._temperature)
        keys = [noise_key(self.draws[row].seed, indices[row]) for row in self._sampled]
        return mx.argmax(scaled + self._gumbel(mx.array(keys, dtype=mx.uint32)), axis=-1).astype(mx.int32)

    def _gumbel(self, keys: mx.array) -> mx.array:
        uniform = mx.vmap(lambda key: mx.random.uniform(key=key, shape=(self.vocabulary,)))(keys)
        return -mx.log(-mx.log(mx.clip(uniform, 1e-20, 1.0 - 1e-7)))

    def _logprobs(self, raw: mx.array, tokens: mx.array) -> tuple[mx.array | None, mx.array | None, mx.array | None]:
        if not self.asked:
            return None, None, None
        rows = mx.array(self.asked)
        logits = raw[rows].astype(mx.float32)
        logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        chosen = mx.take_along_axis(logprobs, mx.maximum(tokens[rows], 0)[:, None], axis=-1)[:, 0]
        if not self.widest:
            return chosen, None, None
        return chosen, *likeliest(logprobs, self.widest)


@dataclass
class Drawn:
    """One step's tokens, int32 of shape (rows,), still on the device; log-probabilities for the rows that asked:
    the chosen token's (asked,), and the likeliest tokens' ids and values (asked, k), unsorted."""

    tokens: mx.array
    chosen: mx.array | None = None
    top_ids: mx.array | None = None
    top_values: mx.array | None = None

    def arrays(self) -> list[mx.array]:
        return [array for array in (self.tokens, self.chosen, self.top_ids, self.top_values) if array is not None]
