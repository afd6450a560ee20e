"""Control tokens that users and tools write are text; those that the chat template writes are control tokens.

What a control token is, and how its text is encoded, follows Transformers (`sanitize_control_tokens` of
`apply_chat_template`): special tokens, and added ones that stand in the template's own words. All other added tokens,
such as runs of blank lines, stay whole, and a text without control tokens is encoded in one go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .encoding import Encoding

_PRIVATE = range(0xF0000, 0xFFFFE, 2)  # a plane of private-use characters, by pairs


@dataclass(frozen=True)
class Marks:
    """Two characters around each control token that is meant as text; no text of the request has either."""

    start: str
    end: str
    tokens: re.Pattern[str]

    def around(self, value: Any) -> Any:
        """A copy of a JSON value with marks in every text; keys stay as they are."""
        if isinstance(value, str):
            return self.tokens.sub(lambda match: f"{self.start}{match[0]}{self.end}", value)
        if isinstance(value, dict):
            return {key: self.around(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.around(inner) for inner in value]
        return value

    def removed(self, text: str) -> str:
        return text.replace(self.start, "").replace(self.end, "")


def pattern(added: dict[str, bool], named: tuple[str, ...] | None, literals: str) -> re.Pattern[str]:
    """Finds every control token, the longer one first: special ones, and of the other added ones those that the model's
    makers name or, where they name none, those in the template's own words. Blank ones stand there as plain text."""
    tokens = [
        token
        for token, special in added.items()
        if token and (special or (token in named if named is not None else token in literals and not token.isspace()))
    ]
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or "(?!)")


def marks(tokens: re.Pattern[str], texts: Iterable[Any]) -> Marks:
    """Marks that none of the texts, or JSON values, can spell."""
    used = {letter for text in texts for part in _strings(text) if not part.isascii() for letter in part}
    start = next(code for code in _PRIVATE if chr(code) not in used and chr(code + 1) not in used)
    return Marks(chr(start), chr(start + 1), tokens)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(key)
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


def encode(encoding: Encoding, text: str, marks: Marks) -> list[int]:
    """Token ids of a rendered chat. A mark that lost its partner in the template still parts what is beside it."""
    pieces = re.split(f"{marks.start}({marks.tokens.pattern}){marks.end}|[{marks.start}{marks.end}]", text)
    ids = encoding.ids(pieces[0])
    for place, piece in enumerate(pieces[1:], 1):
        if piece and place % 2:
            ids += _as_text(encoding, piece)
        elif piece:
            ids += _inside(encoding, encoding.ids, piece)
    return ids


def _as_text(encoding: Encoding, token: str) -> list[int]:
    ids = _inside(encoding, encoding.plain_ids, token)
    if encoding.id(token) not in ids:
        return ids
    # Its letters are the token, for the model's own vocabulary too: they are taken one by one.
    return [found for letter in token for found in _inside(encoding, encoding.plain_ids, letter)]


def _inside(encoding: Encoding, ids: Callable[[str], list[int]], text: str) -> list[int]:
    """The ids of a text that is not the beginning: taken after a newline, for SentencePiece begins with a space."""
    newline = encoding.ids("\n")
    together = ids("\n" + text)
    return together[len(newline) :] if together[: len(newline)] == newline else ids(text)
