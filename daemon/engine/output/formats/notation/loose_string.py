"""One string of JSON as models write it, read as it comes: line feeds in it, quotes inside that are not escaped,
backslashes that escape nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .json_values import whole

LONGEST_BLANK = 256
"""Behind so many blanks nothing is awaited that decides whether a quote ended its string."""
BLANK = re.compile(r"[\s\ufeff]*")
_PLAIN = {quote: re.compile(rf"[^{quote}\\]*") for quote in "\"'"}
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"} | {letter: letter for letter in "\"'\\/"}


@dataclass(slots=True)
class LooseString:
    """A string behind its opening `quote`, which is `"`, `'`, or a whole marker, between two of which nothing is
    escaped. `colon`: what follows the string where it is a key. `closers`: what may follow a value beside commas and
    brackets. `alone`: nothing is around it, so whatever follows ends it. `value`: None until the string is over."""

    quote: str
    colon: str = ""
    closers: tuple[str, ...] = ()
    alone: bool = False
    value: str | None = None
    _inside: bool = False
    _parts: list[str] = field(default_factory=list)

    def read(self, text: str, at: int, *, final: bool) -> int:
        """Read on at a place of the text, and give the place up to which it was read. Where `value` is None then, more
        text is needed, which follows what was not read. `final`: no further text comes."""
        while True:
            at = self._plain(text, at, final)
            if text.startswith("\\", at) and len(self.quote) == 1:
                length = self._escape(text, at, final)
                if not length:
                    return at
                at += length
                continue
            if not text.startswith(self.quote, at):
                return at
            ends = self._ends(text, at + len(self.quote), final)
            if ends is None:
                return at
            inner = not ends and self._quotes_inside(text, at)
            at += len(self.quote)
            if not inner:
                self.value = whole(self._parts)
                return at
            self._parts.append(self.quote)

    def _plain(self, text: str, at: int, final: bool) -> int:
        """Up to what may be the end of the string, or an escape."""
        if len(self.quote) == 1:
            match = _PLAIN[self.quote].match(text, at)
            end = match.end() if match else at
        else:
            end = text.find(self.quote, at)
            if end < 0:
                end = max(at, len(text) - (0 if final else len(self.quote) - 1))
        self._parts.append(text[at:end])
        return end

    def _ends(self, text: str, at: int, final: bool) -> bool | None:
        """Whether a quote ends its string: something that can follow a string comes next. None: not known yet."""
        match = BLANK.match(text, at)
        blanks = len(match[0]) if match else 0
        left = text[at + blanks : at + blanks + 64]
        if not left:
            return True if final or self.alone or blanks > LONGEST_BLANK else None
        if self.colon:
            return left[0] == self.colon
        if left[0] in ",)]}" or self.alone or left.startswith(self.closers):
            return True
        if not final and any(closer.startswith(left) for closer in self.closers):
            return None
        return False

    def _quotes_inside(self, text: str, at: int) -> bool:
        """Whether a quote that does not end its string is part of it: one of a pair around words, or an apostrophe."""
        before, after = self._before(), text[at + len(self.quote) : at + len(self.quote) + 1]
        if len(self.quote) > 1 or (self.quote == "'" and before.isalnum() and after.isalnum()):
            return True
        if self._inside:
            self._inside = False
            return True
        self._inside = bool(before) and not before.isalnum() and not after.isspace()
        return self._inside

    def _before(self) -> str:
        """The last character of the string so far."""
        return next((part[-1] for part in reversed(self._parts) if part), "")

    def _escape(self, text: str, at: int, final: bool) -> int:
        """How many characters an escape has; 0 where more text is needed to know."""
        if at + 1 >= len(text):
            if final:
                self._parts.append("\\")
            return int(final)
        letter = text[at + 1]
        if letter != "u":
            self._parts.append(_ESCAPES.get(letter, "\\" + letter))
            return 2
        if len(text) < at + 6 and not final:
            return 0
        match = _HEX.match(text, at + 2)
        self._parts.append(chr(int(match[0], 16)) if match else "\\u")
        return 6 if match else 2
