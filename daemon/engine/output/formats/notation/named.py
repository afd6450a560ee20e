"""Calls as a name in markup, and JSON arguments behind it: `<function=name>{…}</function>` and its like."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .call_sink import CallSink
from .cursor import Cursor, Read, Waits
from .objects import arguments_of

NAME = re.compile(r"[A-Za-z0-9_.:/\-]*")
_NUMBER = re.compile(r":\d+$")


@dataclass(frozen=True)
class NamedCall:
    """`begin` NAME `end` {…} `close`. `aside`, where it comes, is a marker behind the name in front of something that
    is not looked at (an id). `numbered`: the name ends with `:` and a number. `optional_end`: an object may follow the
    name at once."""

    end: str = ""
    begin: str = ""
    close: str = ""
    aside: str = ""
    numbered: bool = False
    optional_end: bool = False

    def head(self, cursor: Cursor, sink: CallSink) -> Waits[str | None]:
        """Up to the arguments. The name of the call, None where there is no call of an offered tool."""
        if self.begin and not (yield from cursor.literal(self.begin)):
            return None
        yield from cursor.blank()
        said = yield from cursor.word(NAME)
        name = sink.tools.name(_NUMBER.sub("", said) if self.numbered else said)
        if name is None:
            return None
        yield from cursor.blank()
        if self.aside and (yield from cursor.literal(self.aside)):
            yield from cursor.word(NAME)
        if self.end and not (yield from cursor.literal(self.end)):
            return name if self.optional_end and (yield from cursor.ahead("{")) else None
        return name


def named(call: NamedCall, closer: str = "", *, again: str = "") -> Read:
    """One call after the other up to `closer`; without one, a single call, or as many as have `again` in front."""

    def read(cursor: Cursor, sink: CallSink) -> Waits[None]:
        closers = tuple(each for each in (call.close, closer, again) if each)
        while True:
            name = yield from call.head(cursor, sink)
            if name is None or not (yield from arguments_of(cursor, sink, name, closers)):
                return
            cursor.commit()
            yield from cursor.blank()
            if call.close and (yield from cursor.literal(call.close)):
                cursor.commit()
                yield from cursor.blank()
            if closer:
                if (yield from cursor.literal(closer)):
                    cursor.commit()
                    return
            elif not again or not (yield from cursor.literal(again)):
                return

    return read
