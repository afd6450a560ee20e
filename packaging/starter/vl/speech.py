"""Turns without a picture: greetings, what the model is, and that it sees none."""

from __future__ import annotations

import random

from ..common import words
from ..common.data import beside
from ..common.phrases import Phrases, expand

Turn = tuple[str, str, str]  # task, what is said, the answer

_DATA = beside(__file__)
NO_PICTURE: str = _DATA["no_picture"]
BEFORE = Phrases(**_DATA["before"])
SPOKEN = [(found["task"], Phrases(**found["asks"]), found["answer"]) for found in _DATA["spoken"]]


def _disturbed(rng: random.Random, text: str) -> str:
    """A word too many, one too few, or one that nobody knows: what people write is not in any list."""
    parts = text.split(" ")
    at = rng.randrange(len(parts) + 1)
    draw = rng.random()
    if draw < 0.5:
        parts.insert(at, rng.choice(_DATA["fillers"]))
    elif draw < 0.8:
        parts.insert(at, words.INVENTED.pick(rng, False))
    elif draw < 0.9 and len(parts) > 4 and parts[at - 1].lower() in ("the", "is", "a", "of", "you", "this", "in", "do"):
        del parts[at - 1]
    elif len(parts[-1]) > 3:
        word = max(range(len(parts)), key=lambda i: len(parts[i]) * rng.random())
        if parts[word].isalpha() and len(parts[word]) > 4 and rng.random() < 0.4:
            cut = rng.randrange(1, len(parts[word]) - 2)
            parts[word] = parts[word][:cut] + parts[word][cut + 1] + parts[word][cut] + parts[word][cut + 2 :]
    return " ".join(parts)


def finished(rng: random.Random, text: str, ends: str = "?", held: bool = False) -> str:
    """As people type: a capital or not, a mark at the end or not, a word before it, a slip."""
    if not held and rng.random() < 0.12:
        text = _disturbed(rng, text)
    if rng.random() < 0.12:
        before = BEFORE.pick(rng, held) + " "
        noun = words.NOUNS.pick(rng, held) if "like" in before else words.FIRST_NAMES.pick(rng, held)
        text = before.replace("{}", noun) + (text[0].lower() + text[1:] if before[-2] not in ".:" else text)
    if rng.random() < 0.15:
        text = text[0].lower() + text[1:]
    if not text.endswith(("?", ".", "!")):
        text += ends if rng.random() < 0.7 else rng.choice(("", "", ".", " " + ends))
    return text


def spoken(rng: random.Random, held: bool) -> Turn:
    """A turn that needs no picture."""
    task, asks, answer = rng.choice(SPOKEN)
    return (task, finished(rng, asks.pick(rng, held), "?" if task == "identity" else rng.choice("!."), held), answer)


def unknown(rng: random.Random, held: bool) -> Turn:
    pattern = rng.choice(_DATA["other"])
    draw = rng.random()
    noun = words.NOUNS.pick(rng, held)
    text = noun if draw < 0.4 else f"the {noun}" if draw < 0.7 else words.FIRST_NAMES.pick(rng, held)
    if "(plus|" in pattern:
        pattern = pattern.replace("{}", str(rng.randint(2, 99)))
    return "unknown", finished(rng, expand(rng, pattern.replace("{}", text)), "?", held), _DATA["unknown"]
