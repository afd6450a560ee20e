"""Qwen3-Reranker: a decoder that is asked whether a document answers a query, and the logits of its yes and no.

The prompt is that of the model's card (https://huggingface.co/Qwen/Qwen3-Reranker-0.6B, its Transformers example). All
documents of a request share the prompt's head, with instruction and query: it is prefilled once, and its keys and
values stand before every document's own.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import BatchKVCache, KVCache, make_prompt_cache

from ...protocol import Rerank
from ..cache.rows import paddable
from ..encode.padding import pad
from ..encode.row_job import Job, Row
from ..encode.tokens import TextTokenizer
from ..model.load import UnsupportedModel
from ..prompt.render import Refused
from .too_long import too_long

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
_UNLIKE = ("a", "1", "\n\n")  # documents that begin as differently as can be


class YesNo:
    """`network` is mlx-lm's, with its language head or with a `score` of one label in place of it."""

    def __init__(self, network: Any, texts: TextTokenizer) -> None:
        self._network = network
        self._texts = texts
        self._prefix, self._suffix = (tokens.ids for tokens in texts.encode([PREFIX, SUFFIX], special=False))
        self._shares = paddable(make_prompt_cache(network))
        self._answers = None if "score" in network else _answers(network, texts.tokenizer)

    # documents to rows

    def rows(self, work: Rerank) -> list[Row]:
        """Raises Refused."""
        texts, most = self._texts, self._texts.most_characters
        before = f"<Instruct>: {INSTRUCTION if work.instruction is None else work.instruction}\n"
        before += f"<Query>: {work.query}\n<Document>: "
        room = texts.longest - len(self._prefix) - len(self._suffix)
        large = [len(before) + len(document) > most for document in work.documents]
        if any(large) and not work.truncate:
            raise too_long(work.first + large.index(True), None, texts.longest)
        bodies = [before + document[:most] for document in (*_UNLIKE, *work.documents)]
        encoded = texts.encode_inert(bodies)
        common = _common(encoded[: len(_UNLIKE)])
        if len(common) >= room:
            message = f"the query leaves no room for a document in the model's maximum of {texts.longest} tokens"
            raise Refused("context_length_exceeded", message, "query")
        alone = work.first == 0 and len(work.documents) == 1
        rows = []
        for place, (body, much) in enumerate(zip(encoded[len(_UNLIKE) :], large, strict=True), work.first):
            if len(body) > room and not work.truncate:
                raise too_long(place, len(body), texts.longest)
            shared = self._shares and not alone and body[: len(common)] == common
            rows.append(
                Row(
                    [*self._prefix, *body[:room], *self._suffix],
                    place,
                    head=len(self._prefix) + len(common) if shared else 0,
                    cut=much or len(body) > room,
                )
            )
        return rows

    # rows to logits

    def head(self, rows: list[Row], budget: int) -> tuple[list[Any], int]:
        """Prefill what these rows' requests share, so many tokens at a time."""
        spent = 0
        for row in {row.job: row for row in rows if row.head}.values():
            job: Job = row.job
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

    def logits(self, rows: list[Row]) -> mx.array:
        """yes against no, (rows, 1), float32, lazily."""
        padded = pad([row.tokens[row.head :] for row in rows])
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


def _common(sequences: list[list[int]]) -> list[int]:
    """The longest common beginning."""
    first, last = min(sequences), max(sequences)
    length = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]


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
