"""Encoders with one label that read query and document together."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from ...protocol import Rerank
from ..encode.open import Classifier
from ..encode.padding import pad
from ..encode.row_job import Row
from ..encode.tokens import TextTokenizer
from ..prompt.render import Refused
from .too_long import too_long


class CrossEncoder:
    """`texts` makes pairs as the tokenizer's own post-processor says, with its segment ids."""

    def __init__(self, network: Classifier, texts: TextTokenizer) -> None:
        self._network = network
        self._texts = texts

    def rows(self, work: Rerank) -> list[Row]:
        """Raises Refused."""
        if work.instruction is not None:
            raise Refused("unsupported", "this model takes no instruction; leave it out", "instruction")
        texts = self._texts
        pairs = [(work.query, document) for document in work.documents]
        large = [texts.too_large(pair) for pair in pairs]
        short = iter(texts.encode([pair for pair, much in zip(pairs, large, strict=True) if not much]))
        rows = []
        for place, (pair, much) in enumerate(zip(pairs, large, strict=True), work.first):
            tokens = None if much else next(short)
            if tokens is None or len(tokens.ids) > texts.longest:
                if not work.truncate:
                    raise too_long(place, None if tokens is None else len(tokens.ids), texts.longest)
                tokens = texts.cut(pair, texts.longest)
            rows.append(Row(tokens.ids, place, segments=tokens.segments, cut=tokens.cut))
        return rows

    def head(self, rows: list[Row], budget: int) -> tuple[list[Any], int]:
        """In an encoder every token sees the document: pairs share nothing."""
        return [], 0

    def logits(self, rows: list[Row]) -> mx.array:
        """(rows, 1), float32, lazily."""
        segments = [row.segments or [] for row in rows] if self._texts.has_segments else None
        padded = pad([row.tokens for row in rows], segments)
        return self._network.logits(padded).astype(mx.float32)
