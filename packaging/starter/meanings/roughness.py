"""Texts as people type them: lower case, no marks, letters in the wrong order, small words left out or put around."""

from __future__ import annotations

import random

_OPENINGS = ("Hi, ", "Hello, ", "OK, ", "One question: ", "Quick question: ", "So, ", "Tell me: ", "Please: ")
_SMALL = {"the", "a", "an", "do", "is", "of", "to", "my", "does", "for", "in", "on", "one", "you", "are"}
_AROUND = (
    "By the way: {}",
    "Note: {}",
    "{} That is all I know.",
    "As the paper says: {}",
    "I remember this: {}",
    "{} So they say.",
    "News: {}",
    "{} (as of today)",
    "Yes. {}",
    "- {}",
)


def _without_small(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    small = [i for i, word in enumerate(words) if word in _SMALL]
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
        text = rng.choice(_OPENINGS) + text[:1].lower() + text[1:]
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
        return rng.choice(_AROUND).format(text)
    return _without_small(rng, text) if roll < 0.15 else text
