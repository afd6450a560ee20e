"""Qwen3-Reranker: a decoder that is asked whether a document answers a query, and the logits of its yes and no.

All documents of a request share the prompt's head, with instruction and query: it is prefilled once, and its keys and
values stand before every document's own.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import BatchKVCache, KVCache, make_prompt_cache

from ..cache.rows import paddable
from ..encode.padding import pad
from ..encode.row_job import RowJob
from ..model.model_folder import UnsupportedModel
from ..shapes import Shapes
from ..texts.row import Row


class YesNo:
    """`network` is mlx-lm's, with its language head or with a `score` of one label in place of it. `shares`: whether
    its caches can be copied for every row."""

    def __init__(self, network: Any, tokenizer: Any) -> None:
        self._network = network
        self.shares = paddable(make_prompt_cache(network))
        self._answers = None if "score" in network else _answers(network, tokenizer)

    def head(self, rows: list[Row], budget: int) -> tuple[list[Any], int]:
        """Prefill what these rows' requests share, so many tokens at a time."""
        spent = 0
        for row in {row.job: row for row in rows if row.head}.values():
            job: RowJob = row.job
            if job.caches is None:
                job.caches = make_prompt_cache(self._network)
            done = job.caches[0].offset
            chunk = row.tokens[done : min(row.head, done + max(1, budget))]
            if chunk:
                self._network.model(mx.array([chunk]), cache=job.caches)
                spent += len(chunk)
            if done + len(chunk) < row.head:
                return [cache.state for cache in job.caches], spent
        return [], spent

    def logits(self, rows: list[Row], shapes: Shapes) -> mx.array:
        """yes against no, (rows, 1), float32, lazily."""
        padded = pad([row.tokens[row.head :] for row in rows], shapes=shapes)
        states = self._network.model(padded.tokens, cache=self._caches(rows))
        last = mx.take_along_axis(states, (padded.lengths - 1)[:, None, None], axis=1)[:, 0]
        if self._answers is None:
            score: mx.array = self._network.score(last)
            return score.astype(mx.float32)
        both = (last @ self._answers.T).astype(mx.float32)
        return both[:, :1] - both[:, 1:]

    def _caches(self, rows: list[Row]) -> list[Any] | None:
        """Every row's head before it: copies of one, or of several padded on the left."""
        heads = {row.job if row.head else None: row for row in rows}
        if list(heads) == [None]:
            return None
        if len(heads) == 1:
            (job,) = heads
            assert job is not None
            return [_repeated(cache, len(rows)) for cache in job.caches]
        order = {job: number for number, job in enumerate(heads)}
        chosen = mx.array([order[row.job if row.head else None] for row in rows])
        empty = make_prompt_cache(self._network)
        layers = zip(*(empty if job is None else job.caches for job in heads), strict=True)
        return [_merged(list(layer), chosen) for layer in layers]


def _answers(network: Any, tokenizer: Any) -> mx.array:
    """The two rows of the language head that say yes and no, (2, hidden). Raises UnsupportedModel."""
    vocabulary = tokenizer.get_vocab()
    if "yes" not in vocabulary or "no" not in vocabulary:
        raise UnsupportedModel("its tokenizer has no single tokens for yes and no")
    chosen = mx.array([vocabulary["yes"], vocabulary["no"]])
    head = network.lm_head if "lm_head" in network else network.model.embed_tokens
    if not hasattr(head, "scales"):
        rows: mx.array = head.weight[chosen]
        return rows
    biases = head.get("biases")
    return mx.dequantize(
        head.weight[chosen],
        head.scales[chosen],
        None if biases is None else biases[chosen],
        group_size=head.group_size,
        bits=head.bits,
        mode=head.mode,
    )


def _repeated(cache: KVCache, rows: int) -> KVCache:
    copy = KVCache()
    copy.offset = cache.offset
    copy.keys, copy.values = (
        mx.broadcast_to(array[..., : cache.offset, :], (rows, array.shape[1], cache.offset, array.shape[3]))
        for array in (cache.keys, cache.values)
    )
    return copy


def _merged(caches: list[KVCache], chosen: mx.array) -> BatchKVCache:
    merged = BatchKVCache.merge(caches)
    merged.filter(chosen)
    return merged
