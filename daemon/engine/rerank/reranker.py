"""A reranker in memory, and what the worker of rows asks of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import mlx.core as mx

from ...protocol import Count, Load, Loaded, Ranked, Rerank, TextPrompt
from ..encode.facts import Facts, measured
from ..encode.open import is_encoder, open_classifier, open_decoder
from ..encode.row_job import Job, Row
from ..encode.tokens import TextTokenizer, length_limit, load_tokenizer
from ..model.load import UnsupportedModel, read_json, reading
from ..model.precision import widen
from ..prompt.render import Refused
from .cross_encoder import CrossEncoder
from .parts import parts
from .yes_no import YesNo

YES_NO = ("Qwen3ForCausalLM", "Qwen3ForSequenceClassification")


class Scorer(Protocol):
    """Documents to rows (raises Refused), and rows to their logits."""

    def rows(self, work: Rerank) -> list[Row]: ...
    def head(self, rows: list[Row], budget: int) -> tuple[list[Any], int]: ...
    def logits(self, rows: list[Row]) -> mx.array: ...


class Reranker:
    def __init__(self, scorer: Scorer, texts: TextTokenizer, facts: Facts) -> None:
        self._scorer = scorer
        self._texts = texts
        self.weight_bytes = facts.weight_bytes
        self.token_bytes, self.pair_bytes = facts.token_bytes, facts.pair_bytes
        self.vocabulary = facts.vocabulary
        self.rate = measured(lambda tokens: self.compute([Row([0] * tokens, 0, segments=[0] * tokens)]))

    def parts(self, work: Rerank) -> Iterator[Rerank]:
        return parts(work)

    def count_rows(self, work: Any) -> int:
        return len(work.documents) if isinstance(work, Rerank) else 0

    def prepare(self, work: Rerank) -> list[Row]:
        """Raises Refused."""
        return self._scorer.rows(work)

    def count(self, request: Count) -> list[int]:
        """Raises Refused."""
        if not isinstance(request.prompt, TextPrompt):
            raise Refused("unsupported", "a reranker takes a query and documents, no messages", "messages")
        (found,) = self._texts.encode([request.prompt.text], special=request.prompt.add_special_tokens)
        return found.ids

    def head(self, rows: list[Row], budget: int) -> tuple[list[Any], int]:
        return self._scorer.head(rows, budget)

    def compute(self, rows: list[Row]) -> mx.array:
        """(rows, 1), float32, lazily."""
        return self._scorer.logits(rows)

    def event(self, job: Job) -> Ranked:
        assert job.results is not None
        return Ranked(
            id=job.number,
            logits=tuple(job.results[:, 0].tolist()),
            prompt_tokens=job.tokens,
            truncated=tuple(sorted(job.cut)),
        )


def load_reranker(request: Load) -> tuple[Reranker, Loaded]:
    """Bring the model into memory. Raises BadModel, UnsupportedModel, MemoryError."""
    began = time.monotonic()
    folder = Path(request.path)
    config = read_json(folder / "config.json")
    with reading(folder, config):
        decoder = not is_encoder(config)
        if decoder:
            _check_decoder(config)
        network = open_decoder(folder, config) if decoder else open_classifier(folder, config)
        widen(network, request.memory_limit)
        mx.eval(network.parameters())
        tokenizer = load_tokenizer(folder)
        longest = length_limit(config, tokenizer, None, request.context_length)
        texts = TextTokenizer(tokenizer, longest)
        scorer: Scorer = YesNo(network, texts) if decoder else CrossEncoder(network, texts)
        reranker = Reranker(scorer, texts, Facts.of(network, config))
    return reranker, Loaded(
        weight_bytes=reranker.weight_bytes,
        kv_bytes_per_token=0,
        context_length=longest,
        vocabulary=reranker.vocabulary,
        batchable=True,
        capabilities=("rerank",),
        seconds=time.monotonic() - began,
    )


def _check_decoder(config: dict[str, Any]) -> None:
    """Others have prompts of their own, and their scores would be wrong with this one."""
    named = config.get("architectures") or ["nothing"]
    if named[0] not in YES_NO:
        raise UnsupportedModel(
            f"config.json names {str(named[0])[:60]}; of decoders this version of mlx-serve reranks with "
            "Qwen3-Reranker's alone"
        )
