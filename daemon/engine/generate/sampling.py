"""One vectorised sampler for the whole batch: arrays with one row a sequence, filled from the requests.

The order is OpenAI's, vLLM's and Transformers': bias and penalties on the logits, then temperature, then top-k, top-p
and min-p. A token is drawn by the Gumbel-max trick (arg max of logit + Gumbel noise), with noise that depends on the
row's seed and on how many tokens it has, and on nothing else: a filter only masks, so no neighbour changes a draw.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field, replace

import mlx.core as mx

from ...protocol import Sampling

_MASK64 = (1 << 64) - 1
_FILTER_TOP = 1024


@dataclass
class Draw:
    """How one sequence draws its tokens, every default resolved. `penalty_window` 0: all generated tokens."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_window: int = 0
    logit_bias: dict[int, float] = field(default_factory=dict)
    seed: int = 0
    logprobs: int | None = None

    @property
    def greedy(self) -> bool:
        return self.temperature <= 0.0

    @property
    def penalised(self) -> bool:
        return self.repetition_penalty != 1.0 or self.frequency_penalty != 0.0 or self.presence_penalty != 0.0

    @property
    def filtered(self) -> bool:
        return not self.greedy and (self.top_k > 0 or self.top_p < 1.0)


def resolve(request: Sampling, model: Sampling, fallback: Sampling, vocabulary: int, logprobs: int | None) -> Draw:
    """The first given value of request, the model's generation_config, the dialect's fallback; else the neutral one."""

    def pick(name: str, neutral: float) -> float:
        for source in (request, model, fallback):
            value = getattr(source, name)
            if value is not None:
                return float(value)
        return neutral

    top_k = int(pick("top_k", 0))
    window = int(pick("penalty_window", 0))
    return Draw(
        temperature=pick("temperature", 1.0),
        top_k=0 if top_k <= 0 or top_k >= vocabulary else top_k,
        top_p=min(1.0, pick("top_p", 1.0)),
        min_p=min(1.0, pick("min_p", 0.0)),
        repetition_penalty=pick("repetition_penalty", 1.0),
        frequency_penalty=pick("frequency_penalty", 0.0),
        presence_penalty=pick("presence_penalty", 0.0),
        penalty_window=max(0, window),
        logit_bias=dict(request.logit_bias),
        seed=secrets.randbits(64) if request.seed is None else request.seed & _MASK64,
        logprobs=logprobs,
    )


def choice(draw: Draw, index: int) -> Draw:
    """How choice number `index` draws: with a seed of its own."""
    return draw if index == 0 else replace(draw, seed=(draw.seed + index) & _MASK64)


def noise_key(seed: int, index: int) -> tuple[int, int]:
    """A Threefry key for a seed's index-th token: SplitMix64's output function over seed + index * golden ratio."""
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & _MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK64
    z ^= z >> 31
    return z >> 32, z & 0xFFFFFFFF


class Sampler:
    """The draws of the rows that run now. `place` follows every change of the batch; `sample` is one step."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self.draws: list[Draw] = []
        self._counts: mx.array | None = None
        self.place([], [])

    def place(self, draws: Rows[Draw], history: Rows[Rows[int]], counts_from: Rows[int | None] = ()) -> None:
        """Take these rows. `history` are each row's generated tokens that the penalties count; `counts_from[i]` is the
        old row whose running counts row i goes on with (None: count the history)."""
        old = self._counts
        self.draws = list(draws)

        def column(name: str) -> mx.array:
            return mx.array([float(getattr(draw, name)) for draw in draws], dtype=mx.float32)[:, None]

        self.sampled = [row for row, draw in enumerate(draws) if not draw.greedy]
        self.filtered = any(draw.filtered for draw in draws)
        self.penalised = any(draw.penalised for draw in draws)
        self.windowed = any(draw.penalised and draw.penalty_window for draw in draws)
        self.asked = [row for row, draw in enumerate(draws) if draw.logprobs is not None]
        self.widest = max((draw.logprobs or 0 for draw in draws), default=0)
        if self.sampled:
            self.temperature = mx.maximum(column("temperature"), 1e-6)
            self.greedy_rows = mx.array([draw.greedy for draw in draws])
            self.min_p = column("min_p") if any(draw.min_p > 0 for draw in draws) else None
        if self.filtered:
            ks = [draw.top_k or self.vocabulary for draw in draws]
            self.partial = all(draw.top_k for draw in draws if draw.filtered) and max(
                (draw.top_k for draw in draws if draw.filtered), default=0
            ) <= min(_FILTER_TOP, self.vocabulary)
            self.width = max(draw.top_k for draw in draws if draw.filtered) if self.partial else self.vocabulary
            self.top_k = mx.array([min(k, self.width) for k in ks], dtype=mx.int32)[:, None]
            self.unfiltered = mx.array([not draw.filtered for draw in draws])[:, None]
            self.top_p = column("top_p")
        self._counts = None
        if self.penalised:
            self.repetition, self.frequency = column("repetition_penalty"), column("frequency_penalty")
            self.presence = column("presence_penalty")
            self._counts = mx.concatenate(
                [self._row_counts(i, history[i], old, counts_from) for i in range(len(draws))]
            )
        self.bias = self._bias(draws)

    def _row_counts(
        self, row: int, history: Rows[int], old: mx.array | None, counts_from: Rows[int | None]
    ) -> mx.array:
        source = counts_from[row] if row < len(counts_from) else None
        if old is not None and source is not None:
            return old[source : source + 1]
        counts = mx.zeros((1, self.vocabulary), dtype=mx.int32)
        window = self.draws[row].penalty_window
        tokens = list(history)[-window:] if window else list(history)
        return counts.at[mx.zeros(len(tokens), dtype=mx.int32), mx.array(tokens)].add(1) if tokens else counts

    def _bias(self, draws: Rows[Draw]) -> mx.array | None:
        if not any(draw.logit_bias for draw in draws):
            return None
        bias = mx.zeros((len(draws), self.vocabulary), dtype=mx.float32)
        for row, draw in enumerate(draws):
            if draw.logit_bias:
                bias[row, mx.array(list(draw.logit_bias))] = mx.array(list(draw.logit_bias.values()), dtype=mx.float32)
        return bias

    def count(self, tokens: mx.array, leaving: mx.array | None = None) -> None:
        """The rows drew `tokens`, (rows,); `leaving[i]` falls out of row i's window (negative: none)."""
        if self._counts is None:
            return
        rows = mx.arange(len(self.draws))
        self._counts = self._counts.at[rows, mx.maximum(tokens, 0)].add(1)
        if leaving is not None:
            self._counts = self._counts.at[rows, mx.maximum(leaving, 0)].add(mx.where(leaving >= 0, -1, 0))

    def sample(self, logits: mx.array, indices: Rows[int], mask: mx.array | None = None) -> Drawn:
        """Draw one token a row from logits of shape (rows, vocabulary); `indices[i]` counts row i's tokens so far.

        `mask` is bool, True where a grammar allows a token. A row whose logits are not finite draws -1.
        """
        raw = logits
        adjusted = self._adjusted(logits, mask)
        tokens = mx.argmax(adjusted, axis=-1).astype(mx.int32)
        if self.sampled:
            scaled = adjusted.astype(mx.float32) / self.temperature
            scaled = self._filter(scaled)
            keys = mx.array(
                [noise_key(draw.seed, index) for draw, index in zip(self.draws, indices, strict=True)], dtype=mx.uint32
            )
            drawn = mx.argmax(scaled + self._gumbel(keys), axis=-1).astype(mx.int32)
            tokens = mx.where(self.greedy_rows, tokens, drawn)
        tokens = mx.where(mx.isfinite(mx.max(raw, axis=-1)), tokens, -1)
        return Drawn(tokens, *self._logprobs(raw, tokens))

    def _adjusted(self, logits: mx.array, mask: mx.array | None) -> mx.array:
        if self._counts is not None:
            logits = logits.astype(mx.float32)
            seen = self._counts > 0
            repeated = mx.where(logits > 0, logits / self.repetition, logits * self.repetition)
            logits = mx.where(seen, repeated, logits)
            logits = logits - self._counts * self.frequency - seen * self.presence
        if self.bias is not None:
            logits = logits.astype(mx.float32) + self.bias
        if mask is not None:
            logits = mx.where(mask, logits, -mx.inf)
        return logits

    def _filter(self, scaled: mx.array) -> mx.array:
        """Minus infinity where top-k, top-p or min-p excludes a token; ties with the last token kept stay in."""
        top = mx.max(scaled, axis=-1, keepdims=True)
        if self.filtered:
            best = mx.topk(scaled, self.width, axis=-1) if self.partial else scaled
            best = mx.sort(best, axis=-1)[:, ::-1]
            place = mx.arange(best.shape[-1])[None]
            inside = place < self.top_k
            weights = mx.softmax(mx.where(inside, best, -mx.inf), axis=-1)
            before = mx.cumsum(weights, axis=-1) - weights
            inside = inside & ((before < self.top_p) | (place == 0))
            threshold = mx.min(mx.where(inside, best, mx.inf), axis=-1, keepdims=True)
            keep = (scaled >= threshold) | self.unfiltered
            scaled = mx.where(keep, scaled, -mx.inf)
        if self.min_p is not None:
            scaled = mx.where(scaled >= top + mx.log(self.min_p), scaled, -mx.inf)
        return scaled

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
        width = min(self.widest, self.vocabulary)
        ids = (
            mx.argpartition(-logprobs, width - 1, axis=-1)[:, :width]
            if width < self.vocabulary
            else mx.argsort(-logprobs, axis=-1)
        )
        return chosen, ids, mx.take_along_axis(logprobs, ids, axis=-1)


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
