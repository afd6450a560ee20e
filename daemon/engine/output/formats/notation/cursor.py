"""A text that comes in pieces, for readers that are written as if it were there: generators that wait for more of it.

A reader is a generator function, which yields where it needs more text than there is. What it decides never depends on
how the text was cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import TypeVar

from .call_sink import CallSink

T = TypeVar("T")
Waits = Generator[None, None, T]
_BLANK = re.compile(r"\s*")
LONGEST_NAME = 256


class Cursor:
    """`final`: no further text comes. `cut`: it ended because there was no room for more, not because all was said."""

    def __init__(self) -> None:
        self.final = False
        self.cut = False
        self._text = ""
        self._at = 0
        self._raw: list[str] = []

    def push(self, text: str) -> None:
        self._text = self._text[self._at :] + text
        self._at = 0
        self._raw.append(text)

    def commit(self) -> None:
        """All up to here was understood: it will not be needed as text."""
        self._raw = [self.rest]

    @property
    def raw(self) -> str:
        """The text since the last commit, read or not."""
        return "".join(self._raw)

    @property
    def rest(self) -> str:
        return self._text[self._at :]

    def peek(self) -> Waits[str]:
        """The next character, "" at the end."""
        while self._at >= len(self._text) and not self.final:
            yield
        return self._text[self._at : self._at + 1]

    def blank(self) -> Waits[str]:
        """Past white space, up to something else; the white space."""
        parts: list[str] = []
        while True:
            match = _BLANK.match(self._text, self._at)
            parts.append(match[0] if match else "")
            self._at += len(parts[-1])
            if self._at < len(self._text) or self.final:
                return "".join(parts)
            yield

    def ahead(self, *options: str) -> Waits[str]:
        """The first of some texts that comes next, without reading it; "" if none does."""
        while True:
            left = self._text[self._at : self._at + max(map(len, options))]
            waits = False
            for option in options:
                if left.startswith(option):
                    return option
                if option.startswith(left) and not self.final:
                    waits = True
                    break
            if not waits:
                return ""
            yield

    def literal(self, *options: str) -> Waits[str]:
        """Reads the first of some texts that comes next; "" if none does."""
        found = yield from self.ahead(*options)
        self._at += len(found)
        return found

    def word(self, pattern: re.Pattern[str], longest: int = LONGEST_NAME) -> Waits[str]:
        """As many characters as there are of a class (`[…]*`); "" where there are too many."""
        while True:
            match = pattern.match(self._text, self._at)
            word = match[0] if match else ""
            if len(word) > longest:
                return ""
            if self._at + len(word) < len(self._text) or self.final:
                self._at += len(word)
                return word
            yield

    def until(self, mark: str) -> Waits[tuple[str, bool]]:
        """The text up to a mark, past which it reads, and True; where there is none, all the rest and False."""
        parts: list[str] = []
        while True:
            found = self._text.find(mark, self._at)
            if found >= 0:
                parts.append(self._text[self._at : found])
                self._at = found + len(mark)
                return "".join(parts), True
            end = len(self._text) if self.final else max(self._at, len(self._text) - len(mark) + 1)
            parts.append(self._text[self._at : end])
            self._at = end
            if self.final:
                return "".join(parts), False
            yield

    def take(self) -> str:
        """All that is there."""
        text = self.rest
        self._at = len(self._text)
        return text

    def give_back(self, text: str) -> None:
        """What was taken and not used."""
        self._text = text + self.rest
        self._at = 0


Read = Callable[[Cursor, CallSink], Waits[None]]
"""Reads the inside of a block; what is behind its last commit when it returns was not understood."""


def either(*options: tuple[str, Read]) -> Read:
    """The notation whose beginning comes next, after white space; the last one where none does."""

    def read(cursor: Cursor, sink: CallSink) -> Waits[None]:
        yield from cursor.blank()
        found = yield from cursor.ahead(*(start for start, _ in options if start))
        yield from next(option for start, option in options if start in ("", found))(cursor, sink)

    return read


class BlockReading:
    """One block of calls while its text comes. Once it is `done`, `rest` is what was not understood: what follows the
    block, or all of it where it had no calls. `broken`: it is the text of a call of which a part is out."""

    def __init__(self, read: Read, sink: CallSink) -> None:
        self._cursor = Cursor()
        self._sink = sink
        self._before = sink.count
        self._reading = read(self._cursor, sink)
        self.done = self.broken = False

    @property
    def calls(self) -> bool:
        return self._sink.count > self._before

    def add(self, text: str) -> None:
        self._cursor.push(text)
        self._advance()

    def finish(self, *, cut: bool) -> None:
        self._cursor.final, self._cursor.cut = True, cut
        while not self.done:
            self._advance()

    @property
    def rest(self) -> str:
        return self._cursor.raw

    def _advance(self) -> None:
        try:
            next(self._reading)
        except StopIteration:
            self.done = True
            self.broken = self._sink.open
            self._sink.abandon()
