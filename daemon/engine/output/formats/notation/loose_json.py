"""JSON as models write it, read as it comes: each member is known when its value is complete.

What has one reading is read: strings of other kinds (see `LooseString`), Python's True and None, keys without quotes, a
comma too many, a brace that is missing. Everything else, and every value that JSON cannot hold (NaN, 1e999, a set), is
an error: the text is then not JSON, and nothing is guessed. Time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .json_values import scalar
from .loose_string import BLANK, LooseString

DEPTH = 128
LONGEST_WORD = 1000
"""A number or a word that goes on for longer is none."""
_WORD = re.compile(r"[A-Za-z_$][\w$.\-]*")
_NUMBER = re.compile(r"[0-9+\-.][0-9.eE_+\-]*")
_CLOSES = {"{": "}", "[": "]", "(": ")"}

Member = Callable[[Sequence["Frame"], str, Any], None]
Expects = Literal["value", "key", "colon", "comma", "string", "done", "failed"]


@dataclass(slots=True)
class Frame:
    """An open object (`closes` is `}`, or `)` for the arguments of a call in Python) or array."""

    closes: str
    value: Any
    key: str = ""

    @property
    def named(self) -> bool:
        return self.closes != "]"

    @property
    def colon(self) -> str:
        """What stands between a key and its value."""
        return "=" if self.closes == ")" else ":"


@dataclass
class LooseJson:
    """One value. `member` hears of every complete member of an object, with the open frames around it. `closers` are
    what may follow the value: a string is over where one of them comes after its quote. `quotes` beside `"` and `'`
    are whole markers, between which nothing is escaped. `python`: the text begins behind the `(` of a call. What
    follows the value ends it where its own brackets are missing. `largest`: see `scalar`."""

    member: Member | None = None
    closers: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    python: bool = False
    largest: bool = False
    value: Any = None
    frames: list[Frame] = field(default_factory=list)
    expects: Expects = "value"
    _text: str = ""
    _at: int = 0
    _string: LooseString | None = None

    def __post_init__(self) -> None:
        if self.python:
            self._open("(")

    @property
    def rest(self) -> str:
        """What was not read: behind the value, once it is done."""
        return self._text[self._at :]

    def add(self, text: str, *, final: bool = False) -> Expects:
        """Read on. `final`: no further text comes, so nothing needs to be waited for."""
        self._text = self._text[self._at :] + text
        self._at = 0
        while self.expects not in ("done", "failed") and self._step(final):
            pass
        return self.expects

    def close(self) -> bool:
        """The text has ended, or the closing marker is there: close what is open, unless the end is in the middle of a
        string or before a value. Whether the value is there now."""
        self.add("", final=True)
        return self._close_all()

    def _close_all(self) -> bool:
        if self.expects == "key" and self.frames and self.frames[-1].value:
            self.expects = "comma"
        if self.expects == "value" and self.frames and self.frames[-1].closes == "]":
            self.expects = "comma"
        while self.expects == "comma":
            self._close_frame()
        return self.expects == "done"

    def _fail(self) -> bool:
        self.expects = "failed"
        return False

    def _step(self, final: bool) -> bool:
        """One token. False where more text is needed, or nothing can follow."""
        if self._string is not None:
            return self._read_string(self._string, final)
        match = BLANK.match(self._text, self._at)
        self._at = match.end() if match else self._at
        if self._at >= len(self._text):
            return False
        letter = self._text[self._at]
        if self.frames and self.closers:
            left = self._text[self._at : self._at + 64]
            if left.startswith(self.closers):
                return self._close_all() or self._fail()
            if not final and any(closer.startswith(left) for closer in self.closers):
                return False
        if self.expects == "colon":
            return self._colon(letter)
        if self.expects == "comma":
            return self._comma(letter)
        if letter in ")]}":
            return self._closing(letter)
        if self.expects == "key":
            return self._key(letter, final)
        return self._value(letter, final)

    def _colon(self, letter: str) -> bool:
        if letter != self.frames[-1].colon:
            return self._fail()
        self._at += 1
        self.expects = "value"
        return True

    def _comma(self, letter: str) -> bool:
        frame = self.frames[-1]
        if letter == ",":
            self._at += 1
            self.expects = "key" if frame.named else "value"
            return True
        if letter in ")]}":
            return self._closing(letter)
        if frame.closes == "}" and letter in "\"'":
            self.expects = "key"  # the comma is missing
            return True
        return self._fail()

    def _closing(self, letter: str) -> bool:
        """A closing bracket; those of frames inside that are still open are missing."""
        if self.expects == "value" and self.frames and self.frames[-1].named:
            return self._fail()
        if not any(frame.closes == letter for frame in self.frames):
            return self._fail()
        self._at += 1
        while self.frames[-1].closes != letter:
            self._close_frame()
        self._close_frame()
        return True

    def _key(self, letter: str, final: bool) -> bool:
        if self._opens_string(letter, final):
            return True
        match = _WORD.match(self._text, self._at)
        if match is None or self.expects == "failed":
            return self._waits_for_quote(final) and self._fail()
        if match.end() == len(self._text) and not final:
            return len(match[0]) > LONGEST_WORD and self._fail()
        self._at = match.end()
        self.frames[-1].key = match[0]
        self.expects = "colon"
        return True

    def _value(self, letter: str, final: bool) -> bool:
        if letter in "{[":
            if len(self.frames) >= DEPTH:
                return self._fail()
            self._at += 1
            self._open(letter)
            return True
        if self._opens_string(letter, final):
            return True
        if not self._waits_for_quote(final):
            return False
        match = _NUMBER.match(self._text, self._at) or _WORD.match(self._text, self._at)
        if match is None:
            return self._fail()
        if match.end() == len(self._text) and not final:
            return len(match[0]) > LONGEST_WORD and self._fail()
        self._at = match.end()
        try:
            self._complete(scalar(match[0], largest=self.largest))
        except ValueError:
            return self._fail()
        return True

    def _open(self, letter: str) -> None:
        self.frames.append(Frame(_CLOSES[letter], [] if letter == "[" else {}))
        self.expects = "value" if letter == "[" else "key"

    def _opens_string(self, letter: str, final: bool) -> bool:
        quote = next((quote for quote in self.quotes if self._text.startswith(quote, self._at)), "")
        if not quote and letter in "\"'":
            quote = letter
        if not quote:
            return False
        self._at += len(quote)
        colon = self.frames[-1].colon if self.expects == "key" else ""
        self._string = LooseString(quote, colon, self.closers, alone=not self.frames)
        self.expects = "string"
        return True

    def _read_string(self, string: LooseString, final: bool) -> bool:
        self._at = string.read(self._text, self._at, final=final)
        if string.value is None:
            return False
        self._string = None
        if string.colon:
            self.frames[-1].key = string.value
            self.expects = "colon"
        else:
            self._complete(string.value)
        return True

    def _waits_for_quote(self, final: bool) -> bool:
        """False where a quote may still become whole."""
        left = self._text[self._at :]
        return final or not any(len(left) < len(quote) and quote.startswith(left) for quote in self.quotes)

    def _complete(self, value: Any) -> None:
        """A value is there, at the place that waited for it."""
        if not self.frames:
            self.value = value
            self.expects = "done"
            return
        frame = self.frames[-1]
        self.expects = "comma"
        if not frame.named:
            frame.value.append(value)
            return
        frame.value[frame.key] = value
        if self.member is not None:
            self.member(self.frames, frame.key, value)

    def _close_frame(self) -> None:
        self._complete(self.frames.pop().value)


def loads(text: str, *, largest: bool = False) -> Any:
    """A whole text's value. Raises ValueError."""
    reader = LooseJson(largest=largest)
    reader.add(text, final=True)
    if reader.expects not in ("done", "failed"):
        reader.close()
    if reader.expects != "done" or reader.rest.strip():
        raise ValueError("not JSON")
    return reader.value
