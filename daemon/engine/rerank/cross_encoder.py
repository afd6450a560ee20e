"""Encoders with one label that read query and document together."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from ..encode.open import Classifier
from ..encode.padding import pad
from ..shapes import Shapes
from ..texts.row import Row


class CrossEncoder:
    """`segments`: whether the network is told which text a token belongs to, as its tokenizer says."""

    def __init__(self, network: Classifier, *, segments: bool) -> None:
        self._network = network
        self._segments = segments

    def head(self, rows: list[Row], budget: int) -> tuple[list[Any], int]:
        """In an encoder every token sees the document: pairs share nothing."""
        return [], 0

    def logits(self, rows: list[Row], shapes: Shapes) -> mx.array:
        """(rows, 1), float32, lazily."""
        segments = [row.segments or [] for row in rows] if self._segments else None
        padded = pad([row.tokens for row in rows], segments, shapes)
        return self._network.logits(padded).astype(mx.float32)
