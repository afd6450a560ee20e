"""Whether an answer is right: it names what is asked for, and nothing else of that kind."""

from __future__ import annotations

import re
from collections import Counter

from ..common.data import beside
from .picture.scene import COLOURS, DIGITS, SHAPES
from .questions import NUMBERS
from .talk import Sample

_WORD = re.compile(r"[a-z]+|[0-9]+")
_DATA = beside(__file__)
_FAMILIES = {"shape": SHAPES, "colour": COLOURS, "digit": DIGITS, "number": (*NUMBERS, "none"), **_DATA["families"]}


def _named(text: str, family: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for word in _WORD.findall(text.lower().replace("gray", "grey")):
        for name in (word, word.removesuffix("s"), word.removesuffix("es")):
            if name in _FAMILIES[family]:
                found["no" if name == "none" else name] += 1
                break
    return found


def is_same(sample: Sample, text: str) -> bool:
    """Word by word."""
    return text.split() == sample.answer.split()


def is_right(sample: Sample, text: str) -> bool:
    """Of turns without a picture, where nothing is named, the answer itself is asked for."""
    families = _DATA["asked"].get(sample.kind)
    if families is None:
        return is_same(sample, text)
    if families == ["number"]:
        # The rest of the answer may repeat the question's words; a yes begins with none of these.
        return _named(text, "number") == _named(sample.answer, "number")
    if len(families) == 1:
        return set(_named(text, families[0])) == set(_named(sample.answer, families[0]))
    return all(_named(text, family) == _named(sample.answer, family) for family in families)
