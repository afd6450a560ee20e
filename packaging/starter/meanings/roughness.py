"""Queries as people type them: lower case, no marks, letters in the wrong order."""

from __future__ import annotations

import random

_OPENINGS = ("Hi, ", "Hello, ", "OK, ", "One question: ", "Quick question: ", "So, ", "Tell me: ", "Please: ")


def roughened(rng: random.Random, text: str) -> str:
    roll = rng.random()
    if roll < 0.12:
        text = text[:1].lower() + text[1:]
    elif roll < 0.2:
        text = text.lower()
    if rng.random() < 0.15:
        text = text.rstrip("?.!")
    if rng.random() < 0.06:
        text = rng.choice(_OPENINGS) + text[:1].lower() + text[1:]
    if rng.random() < 0.04 and len(text) > 12:
        at = rng.randrange(1, len(text) - 2)
        if text[at].isalpha() and text[at + 1].isalpha():
            text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text
