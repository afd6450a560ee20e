"""The log-probabilities of a prompt's own tokens, for clients that score texts (`echo` with `logprobs`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from ....protocol import TokenLogprob
from ...output.detokenize import Vocabulary
from .filters import candidates

LOGITS_BYTES = 128 << 20
"""What the logits of one chunk of a scored prompt may take, in float32."""


def widest(vocabulary: int, rows: int) -> int:
    """How many positions of so many rows a chunk may have where they are scored."""
    return max(1, LOGITS_BYTES // (4 * vocabulary * rows))


def likeliest(logprobs: mx.array, count: int) -> tuple[mx.array, mx.array]:
    """Ids and values of the `count` largest of each row of (rows, vocabulary), unsorted, (rows, count)."""
    width = min(count, logprobs.shape[-1])
    if width == logprobs.shape[-1]:
        ids = mx.argsort(-logprobs, axis=-1)
        return ids, mx.take_along_axis(logprobs, ids, axis=-1)
    values, ids = candidates(logprobs, width)
    best = mx.argpartition(-values, width - 1, axis=-1)[:, :width]
    return mx.take_along_axis(ids, best, axis=-1), mx.take_along_axis(values, best, axis=-1)


def named(
    vocabulary: Vocabulary, token: int, value: float | None, top: Sequence[tuple[float, int]] = ()
) -> TokenLogprob:
    """`top` are values and ids in any order."""
    piece = vocabulary.piece(token) if token >= 0 else b""
    return TokenLogprob(
        token=piece.decode("utf-8", "replace"),
        logprob=None if value is None else max(value, -9999.0),
        bytes=tuple(piece),
        top=tuple(named(vocabulary, other, its) for its, other in sorted(top, reverse=True)),
    )


class Scores:
    """`tokens` is the prompt; each but the first is scored by the logits at the place before it. `top`: how many of the
    likeliest tokens of each place are wanted too."""

    def __init__(self, tokens: list[int], top: int) -> None:
        self._tokens = tokens
        self._top = top
        self.restart()

    def restart(self) -> None:
        """The prompt is prefilled anew."""
        self._scored = 0
        self._chunks: list[tuple[mx.array, mx.array | None, mx.array | None]] = []

    def add(self, logits: mx.array) -> list[mx.array]:
        """The logits of the next places, (places, vocabulary). Gives what is to be computed with them."""
        start = self._scored + 1
        following = self._tokens[start : start + logits.shape[0]]
        if not following:
            return []
        logprobs = logits[: len(following)].astype(mx.float32)
        logprobs = logprobs - mx.logsumexp(logprobs, axis=-1, keepdims=True)
        chosen = mx.take_along_axis(logprobs, mx.array(following)[:, None], axis=-1)[:, 0]
        ids, values = likeliest(logprobs, self._top) if self._top else (None, None)
        self._scored += len(following)
        self._chunks.append((chosen, ids, values))
        return [array for array in (chosen, ids, values) if array is not None]

    def read(self, vocabulary: Vocabulary) -> tuple[TokenLogprob, ...]:
        """One for each token of the prompt; the first one has no probability. Waits for the device."""
        named_tokens = [named(vocabulary, self._tokens[0], None)]
        for chosen, ids, values in self._chunks:
            ours: Any = chosen.tolist()
            others: Any = ids.tolist() if ids is not None else [[] for _ in ours]
            theirs: Any = values.tolist() if values is not None else [[] for _ in ours]
            for value, top_ids, top_values in zip(ours, others, theirs, strict=True):
                token = self._tokens[len(named_tokens)]
                named_tokens.append(named(vocabulary, token, value, list(zip(top_values, top_ids, strict=True))))
        return tuple(named_tokens)
