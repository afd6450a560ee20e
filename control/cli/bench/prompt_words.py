"""Prompts of about so many tokens, no two of which begin alike, so that nothing of them was read before."""

from __future__ import annotations

import random

# fmt: off
_WORDS = (
    "river", "table", "seven", "quickly", "garden", "window", "paper", "under", "music", "letter", "winter", "orange",
    "simple", "market", "number", "silver", "before", "mountain", "people", "station", "yellow", "always", "bridge",
    "kitchen", "summer", "travel", "nothing", "village", "doctor", "morning", "circle", "answer",
)
# fmt: on


def words(count: int, source: random.Random) -> str:
    return " ".join(source.choice(_WORDS) for _ in range(count))


def fitting(count: int, tokens: int, wanted: int) -> int:
    """How many words to take next, when `count` of them were `tokens` tokens and `wanted` are wanted."""
    return max(1, round(count * wanted / max(1, tokens)))
