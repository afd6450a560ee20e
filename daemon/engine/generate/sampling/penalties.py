"""Penalties on tokens that a sequence has already generated, for the rows that ask for them and no others."""

from __future__ import annotations

from collections.abc import Sequence as Rows

import mlx.core as mx

from .draw import Draw


class Penalties:
    """Running counts of the penalised rows' generated tokens, int32 of shape (penalised rows, vocabulary).

    OpenAI's frequency and presence penalties, and CTRL's repetition penalty (arXiv 1909.05858).
    """

    def __init__(
        self,
        vocabulary: int,
        draws: Rows[Draw],
        history: Rows[Rows[int]],
        old: Penalties | None,
        counts_from: Rows[int | None],
    ) -> None:
        """`history` and `counts_from` as in `Sampler.place`; at least one of `draws` is penalised."""
        self._vocabulary = vocabulary
        self.rows = [row for row, draw in enumerate(draws) if draw.penalised]
        self._index = mx.array(self.rows)
        chosen = [draws[row] for row in self.rows]
        self._repetition = mx.array([draw.repetition_penalty for draw in chosen])[:, None]
        self._frequency = mx.array([draw.frequency_penalty for draw in chosen])[:, None]
        self._presence = mx.array([draw.presence_penalty for draw in chosen])[:, None]
        self.windowed = any(draw.penalty_window for draw in chosen)
        counts = []
        for row, draw in zip(self.rows, chosen, strict=True):
            source = counts_from[row] if row < len(counts_from) else None
            known = None if old is None or source is None else old._of(source)
            counts.append(self._counted(history[row], draw.penalty_window) if known is None else known)
        self._counts = mx.concatenate(counts)

    def _of(self, row: int) -> mx.array | None:
        if row not in self.rows:
            return None
        place = self.rows.index(row)
        return self._counts[place : place + 1]

    def _counted(self, history: Rows[int], window: int) -> mx.array:
        counts = mx.zeros((1, self._vocabulary), dtype=mx.int32)
        tokens = list(history)[-window:] if window else list(history)
        return counts.at[mx.zeros(len(tokens), dtype=mx.int32), mx.array(tokens)].add(1) if tokens else counts

    def count(self, tokens: mx.array, leaving: mx.array | None) -> None:
        """The batch drew `tokens`, (rows,); `leaving[i]` falls out of row i's window (negative: none)."""
        places = mx.arange(len(self.rows))
        self._counts = self._counts.at[places, mx.maximum(tokens[self._index], 0)].add(1)
        if leaving is not None:
            left = leaving[self._index]
            self._counts = self._counts.at[places, mx.maximum(left, 0)].add(mx.where(left >= 0, -1, 0))

    def apply(self, logits: mx.array) -> mx.array:
        """The batch's float32 logits, (rows, vocabulary), with the penalised rows' changed."""
        own = logits[self._index]
        seen = self._counts > 0
        repeated = mx.where(own > 0, own / self._repetition, own * self._repetition)
        own = mx.where(seen, repeated, own) - self._counts * self._frequency - seen * self._presence
        if len(self.rows) == logits.shape[0]:
            return own
        logits[self._index] = own
        return logits
