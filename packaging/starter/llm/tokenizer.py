"""The starter's tokenizer, trained on its own conversations."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tokenizers import Tokenizer

from ..common import tokenizer as common
from . import template
from .conversation import conversation

VOCABULARY = 4096
MARKERS = (
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)  # visible, as Qwen3 has them
# Other than Qwen's: a word is the same tokens behind a space, a quote or an underscore, and of capitals in a row each
# stands alone. So a small model copies and re-spells words that it never saw. Digits stand alone, as in Qwen's.
SPLIT = r"\p{Lu}(?![^\P{L}\p{Lu}])|\p{Lu}?[^\P{L}\p{Lu}]+|\p{N}|[\r\n]+| (?= )| |[^\s\p{L}\p{N}]+|\s"


def _texts(count: int, seed: int) -> Iterator[str]:
    rng = random.Random(f"tokenizer {seed}")
    for _ in range(count):
        yield from (text for text, _ in template.pieces(conversation(rng)))


def train(seed: int, conversations: int) -> Tokenizer:
    return common.train(_texts(conversations, seed), VOCABULARY, visible=MARKERS, split=SPLIT)
