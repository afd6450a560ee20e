"""Calls as elements, one for each parameter: `<function=name><parameter=key>value</parameter></function>`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .call_sink import CallSink
from .cursor import Cursor, Read, Waits
from .named import NAME

_KEY = re.compile(r"[^<>\"\n]*")


@dataclass(frozen=True)
class Elements:
    """The markup of a call and of its parameters.

    `call` NAME `call_end` (`key` KEY `key_end` `value` VALUE `value_end`)… `close`. `string` stands in place of
    `key_end` where the markup says whether the value is a string: `{}` in it is `true` or `false`. `lines`: a value
    has lines of its own, whose line feeds are not part of it.
    """

    call: str
    call_end: str
    key: str
    key_end: str
    value_end: str
    close: str
    value: str = ""
    string: str = ""
    lines: bool = False


def elements(markup: Elements, closer: str = "", *, optional_closer: str = "") -> Read:
    """One call after the other up to `closer`; without one, a single call, and `optional_closer` if it comes."""
    return _Reader(markup, closer, optional_closer).read


@dataclass(frozen=True)
class _Reader:
    markup: Elements
    closer: str
    optional_closer: str

    @property
    def ends(self) -> tuple[str, ...]:
        """What may come after a parameter."""
        return tuple(each for each in (self.markup.key, self.markup.close, self.closer) if each)

    def read(self, cursor: Cursor, sink: CallSink) -> Waits[None]:
        while True:
            yield from cursor.blank()
            if not (yield from self._call(cursor, sink)):
                return
            cursor.commit()
            if not self.closer:
                yield from cursor.blank()
                if self.optional_closer and (yield from cursor.literal(self.optional_closer)):
                    cursor.commit()
                return
            yield from cursor.blank()
            if (yield from cursor.literal(self.closer)):
                cursor.commit()
                return

    def _call(self, cursor: Cursor, sink: CallSink) -> Waits[bool]:
        markup = self.markup
        if markup.call and not (yield from cursor.literal(markup.call)):
            return False
        name = sink.tools.name((yield from cursor.word(NAME)))
        if name is None:
            return False
        if markup.call_end:
            if not (yield from cursor.literal(markup.call_end)):
                return False
        else:
            yield from cursor.blank()
            # Behind a bare name only markup can follow: anything else is a sentence about it.
            if not (yield from cursor.ahead(markup.key, markup.close)):
                return False
        arguments: dict[str, Any] = {}
        while True:
            yield from cursor.blank()
            found = yield from cursor.literal(*self.ends)
            if found != markup.key:
                break
            argument = yield from self._parameter(cursor, sink, name)
            if argument is None:
                return False
            arguments[argument[0]] = argument[1]
            sink.member(name, *argument)
        if not found and not (cursor.final and not cursor.cut and not cursor.rest):
            return False
        sink.call(name, arguments)
        if found == self.closer != markup.close:
            cursor.give_back(found)
        return True

    def _parameter(self, cursor: Cursor, sink: CallSink, name: str) -> Waits[tuple[str, Any] | None]:
        """A key and its value, from behind the markup in front of the key."""
        markup = self.markup
        key = (yield from cursor.word(_KEY)).strip()
        kinds = {markup.string.format(kind): kind for kind in ("true", "false")} if markup.string else {}
        kind = kinds.get((yield from cursor.literal(*kinds)) if kinds else "", "")
        if not key or (not kind and not (yield from cursor.literal(markup.key_end))):
            return None
        if markup.value:
            yield from cursor.blank()
            if not (yield from cursor.literal(markup.value)):
                return None
        value = kind == "false"
        text = yield from self._text(cursor, lambda text: sink.tools.is_whole(name, key, text, value=value))
        if text is None:
            return None
        if markup.lines:
            text = text.removeprefix("\n").removesuffix("\n")
        return key, text if kind == "true" else sink.tools.read(name, key, text, value=value)

    def _text(self, cursor: Cursor, is_whole: Callable[[str], bool]) -> Waits[str | None]:
        """A value, up to the end marker behind which the next parameter, or the end of the call, comes."""
        parts: list[str] = []
        while True:
            part, ended = yield from cursor.until(self.markup.value_end)
            parts.append(part)
            if not ended:
                return None if cursor.cut else self._unclosed(cursor, "".join(parts))
            blanks = yield from cursor.blank()
            ends = (yield from cursor.ahead(*self.ends)) or (cursor.final and not cursor.rest)
            if ends and is_whole("".join(parts)):
                return "".join(parts)
            parts += [self.markup.value_end, blanks]

    def _unclosed(self, cursor: Cursor, text: str) -> str | None:
        """A value whose end marker is missing ends where the next parameter begins, or the call ends."""
        found = min((at for end in self.ends if (at := text.find(end)) >= 0), default=-1)
        if found < 0:
            return None
        cursor.give_back(text[found:])
        return text[:found]
