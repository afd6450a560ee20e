"""The tokenizer of the retrieval models, trained on their own examples."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tokenizers import Tokenizer

from ..common import tokenizer as common
from .examples import INSTRUCTION, example, prompted

VOCABULARY = 4096
MARKERS = ("<think>", "</think>")  # visible, as Qwen3 has them


def _texts(count: int, seed: int, fixed: tuple[str, ...]) -> Iterator[str]:
    rng = random.Random(f"retrieval tokenizer {seed}")
    for i in range(count):
        found = example(rng, 1)
        yield prompted(INSTRUCTION, found.query) if i % 8 == 0 else found.query
        yield found.fits.text
        yield from (other.text for other in found.others)
        yield from fixed


def train(seed: int, examples: int, fixed: tuple[str, ...] = ()) -> Tokenizer:
    """`fixed` are texts that every prompt holds: their words become tokens."""
    return common.train(_texts(examples, seed, fixed), VOCABULARY, visible=MARKERS)
