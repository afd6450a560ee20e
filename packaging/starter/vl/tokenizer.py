"""starter-vl's tokenizer, with Qwen-VL's markers, trained on its own conversations."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tokenizers import Tokenizer

from ..common import tokenizer as common
from . import template
from .talk import conversation

VOCABULARY = 1536
VISION_START, VISION_END, IMAGE, VIDEO = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
PLACES = ("vision_start", "vision_end", "image", "video")  # of pictures
SPECIAL = (*common.SPECIAL, VISION_START, VISION_END, "<|vision_pad|>", IMAGE, VIDEO)


def _texts(count: int, seed: int) -> Iterator[str]:
    rng = random.Random(f"tokenizer {seed}")
    for _ in range(count):
        yield from (text for text, _ in template.pieces(conversation(rng).messages))


def train(seed: int, conversations: int) -> Tokenizer:
    return common.train(_texts(conversations, seed), VOCABULARY, SPECIAL)
