"""Texts as people type them: lower case, no marks, letters in the wrong order, small words left out or put around."""

from __future__ import annotations

import random

from ..common.data import beside

_DATA = beside(__file__)


def _without_small(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    small = [i for i, word in enumerate(words) if word in _DATA["small"]]
    if small and len(words) > 4:
        del words[rng.choice(small)]
    return " ".join(words)


def roughened(rng: random.Random, text: str) -> str:
    """A query."""
    roll = rng.random()
    if roll < 0.12:
        text = text[:1].lower() + text[1:]
    elif roll < 0.2:
        text = text.lower()
    if rng.random() < 0.15:
        text = text.rstrip("?.!")
    if rng.random() < 0.06:
        text = rng.choice(_DATA["openings"]) + text[:1].lower() + text[1:]
    if rng.random() < 0.15:
        text = _without_small(rng, text)
    if rng.random() < 0.04 and len(text) > 12:
        at = rng.randrange(1, len(text) - 2)
        if text[at].isalpha() and text[at + 1].isalpha():
            text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text


def carried(rng: random.Random, text: str) -> str:
    """A passage; mostly as it is."""
    roll = rng.random()
    if roll < 0.1:
        return str(rng.choice(_DATA["around"]).format(text))
    return _without_small(rng, text) if roll < 0.15 else text
