"""A reranker in memory, and what the worker of rows asks of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import mlx.core as mx

from ...protocol import Load, Loaded, Ranked, Rerank
from ..device import backend
from ..encode.encoders import is_encoder
from ..encode.facts import Facts, measured
from ..encode.open import open_classifier, open_decoder
from ..encode.row_job import RowJob
from ..encode.tokenizer import length_limit, load_tokenizer
from ..model.model_folder import UnsupportedModel, UseTokenizer, read_json, reading
from ..model.precision import read_weights, widen
from ..prompt.prompt_frames import RerankData
from ..shapes import Shapes
from ..texts.row import Row
from .cross_encoder import CrossEncoder
from .parts import parts
from .yes_no import YesNo

YES_NO = ("Qwen3ForCausalLM", "Qwen3ForSequenceClassification")


class Scorer(Protocol):
    """Rows to their logits."""

    def head(self, rows: list[Row], budget: int) -> tuple[list[Any], int]: ...
    def logits(self, rows: list[Row], shapes: Shapes) -> mx.array: ...


class Reranker:
    """`texts` is what the prompt process needs to know."""

    def __init__(self, scorer: Scorer, facts: Facts, texts: RerankData) -> None:
        self._scorer = scorer
        self.texts = texts
        self.weight_bytes = facts.weight_bytes
        self.token_bytes, self.pair_bytes = facts.token_bytes, facts.pair_bytes
        self.shapes = Shapes(few=backend() == "cuda", longest=texts.longest)
        self.rate = measured(lambda tokens: self.compute([Row([0] * tokens, 0, segments=[0] * tokens)]))

    def parts(self, work: Rerank) -> Iterator[Rerank]:
        return parts(work)

    def count_rows(self, work: Any) -> int:
        return len(work.documents) if isinstance(work, Rerank) else 0

    def check(self, work: Rerank) -> None:
        """All that can be wrong is seen with the tokens."""

    def head(self, rows: list[Row], budget: int) -> tuple[list[Any], int]:
        return self._scorer.head(rows, budget)

    def compute(self, rows: list[Row]) -> mx.array:
        """(rows, 1), float32, lazily."""
        return self._scorer.logits(self.shapes.filled(rows), self.shapes)[: len(rows)]

    def event(self, job: RowJob) -> Ranked:
        assert job.results is not None
        return Ranked(
            id=job.number,
            logits=tuple(job.results[:, 0].tolist()),
            prompt_tokens=job.tokens,
            truncated=tuple(sorted(job.cut)),
        )


def load_reranker(request: Load, use_tokenizer: UseTokenizer | None = None) -> tuple[Reranker, Loaded]:
    """Bring the model into memory. Raises BadModel, UnsupportedModel, MemoryError."""
    began = time.monotonic()
    folder = Path(request.path)
    config = read_json(folder / "config.json")
    with reading(folder, config):
        decoder = not is_encoder(config)
        if decoder:
            _check_decoder(config)
        tokenizer = load_tokenizer(folder, use_tokenizer)
        network = open_decoder(folder, config) if decoder else open_classifier(folder, config)
        precision = widen(network, request.memory_limit)
        read_weights(network)
        facts = Facts.of(network, config)
        longest = length_limit(config, tokenizer, None, request.context_length)
        if decoder:
            asked = YesNo(network, tokenizer)
            texts = RerankData(rows=facts.vocabulary, longest=longest, yes_no=True, shares=asked.shares)
            reranker = Reranker(asked, facts, texts)
        else:
            segments = "token_type_ids" in tokenizer.model_input_names
            texts = RerankData(rows=facts.vocabulary, longest=longest)
            reranker = Reranker(CrossEncoder(network, segments=segments), facts, texts)
    return reranker, Loaded(
        weight_bytes=reranker.weight_bytes,
        kv_bytes_per_token=0,
        context_length=longest,
        vocabulary=facts.vocabulary,
        batchable=True,
        capabilities=("rerank",),
        seconds=time.monotonic() - began,
        precision=precision,
    )


def _check_decoder(config: dict[str, Any]) -> None:
    """Others have prompts of their own, and their scores would be wrong with this one."""
    named = config.get("architectures") or ["nothing"]
    if named[0] not in YES_NO:
        raise UnsupportedModel(
            f"config.json names {str(named[0])[:60]}; of decoders this version of mlx-serve reranks with "
            "Qwen3-Reranker's alone"
        )
