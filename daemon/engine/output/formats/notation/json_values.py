"""The values of JSON as models spell them: numbers, words, and the text of strings."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from typing import Any

_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_LONE = re.compile("[\ud800-\udfff]")


def whole(parts: Sequence[str]) -> str:
    """The text of a string: escaped halves of a character joined, one without its other half as the six characters of
    its escape, for no text can hold it."""
    text = "".join(parts)
    if not _LONE.search(text):
        return text
    text = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return _LONE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def scalar(text: str, *, largest: bool = False) -> Any:
    """A number, true, false or null. `largest`: a number that is too large becomes the largest there is. Raises
    ValueError for what JSON cannot hold, or what is none of these."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and not re.match(r"[+-]?0[0-9]", text):
        number = float(text)
        if math.isfinite(number):
            return number
        if largest:
            return math.copysign(sys.float_info.max, number)
    raise ValueError(f"{text[:40]!r} is no value")
