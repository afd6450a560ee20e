"""Fixed texts in llguidance's dialect of Lark, and why a grammar is none.

https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

_PICTURE = re.compile(r"^\s*\d+ \| ")
_PLACE = re.compile(r"^at \d+\(\d+\): failed to compile JSON schema: ")
_UNKNOWN_KEYS = re.compile(r"^Unimplemented keys: \[(.*?)\]")
_ANYTHING = r"/(.|\n)*/"


class BadGrammar(Exception):
    """The grammar cannot be compiled; the message says why, in one line. `param`: the field at fault, where it is not
    the one that asks for the grammar."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True)
class Block:
    """Any text between two markers; without `end` it goes on to the end. The prompt may have `opened` it. `resume` has
    to stand between it and what follows."""

    start: str
    end: str
    opened: bool = False
    resume: str = ""


class Literals:
    """How the vocabulary writes fixed texts: its special tokens are no text, and are named by their ids."""

    def __init__(self, special: Mapping[str, int]) -> None:
        self._special = dict(special)
        spelled = sorted(filter(None, self._special), key=len, reverse=True)
        self._pattern = re.compile("(" + "|".join(map(re.escape, spelled)) + ")") if spelled else None

    def lark(self, text: str) -> str:
        """An expression that matches the text and nothing else."""
        return " ".join(map(self.piece, self.pieces(text))) or '""'

    def up_to(self, name: str, end: str) -> list[str]:
        """The rule of this name, and what it needs: any text, and after it this one."""
        first, *others = self.pieces(end) or [""]
        if not first or self.is_special(first):
            return [f"{name}: {_ANYTHING} {self.lark(end)}"]
        rest = " ".join(map(self.piece, others))
        return [f"{name}: {name}_text {rest}", f"{name}_text[suffix={_quoted(first)}]: {_ANYTHING}"]

    def is_special(self, piece: str) -> bool:
        return piece in self._special

    def pieces(self, text: str) -> list[str]:
        """The special tokens in a text, and what stands between them."""
        return [piece for piece in (self._pattern.split(text) if self._pattern else [text]) if piece]

    def piece(self, piece: str) -> str:
        """An expression that matches one of these pieces."""
        token = self._special.get(piece)
        return _quoted(piece) if token is None else f"<[{token}]>"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def one_line(text: str, most: int = 300) -> str:
    """The compiler's reason without its picture of the place."""
    text = text.replace("<non-verbose/>", "")
    kept = " ".join(line.strip() for line in text.split("\n") if line.strip(" ^|") and not _PICTURE.match(line))
    kept = _UNKNOWN_KEYS.sub(_unsupported, _PLACE.sub("", kept))
    return kept if len(kept) <= most else kept[:most] + "…"


def _unsupported(found: re.Match[str]) -> str:
    keys = found[1].split(", ")
    return f"the keyword{'s' if len(keys) > 1 else ''} {', '.join(keys)} cannot be kept"
