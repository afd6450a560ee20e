"""Calls as Python writes them: `[name(key="value", n=1), other()]`; and objects behind a name, without quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .call_sink import CallSink, as_arguments
from .cursor import Cursor, Read, Waits
from .loose_json import Frame
from .objects import json_value

_NAME = re.compile(r"[A-Za-z0-9_.:/\-]*")


def python_calls(closer: str = "") -> Read:
    """A list of calls with keyword arguments, in brackets or bare, up to `closer`."""

    def read(cursor: Cursor, sink: CallSink) -> Waits[None]:
        yield from cursor.blank()
        bracket = yield from cursor.literal("[")
        while True:
            yield from cursor.blank()
            name = sink.tools.name((yield from cursor.word(_NAME)))
            if name is None or not (yield from cursor.literal("(")):
                return
            if not (yield from _arguments(cursor, sink, name, python=True)):
                return
            cursor.commit()
            yield from cursor.blank()
            if bracket and (yield from cursor.literal("]")):
                cursor.commit()
                yield from cursor.blank()
                bracket = ""
            if closer and (yield from cursor.literal(closer)):
                cursor.commit()
                return
            if not (yield from cursor.literal(",")) and not bracket:
                return

    return read


def object_call(begin: str, quote: str, closer: str) -> Read:
    """`begin` NAME `{key:value,…}` `closer`, strings between a marker of their own."""

    def read(cursor: Cursor, sink: CallSink) -> Waits[None]:
        if not (yield from cursor.literal(begin)):
            return
        name = sink.tools.name((yield from cursor.word(_NAME)))
        if name is None or (yield from cursor.ahead("{")) != "{":
            return
        if not (yield from _arguments(cursor, sink, name, closers=(closer,), quotes=(quote,))):
            return
        cursor.commit()
        yield from cursor.blank()
        if (yield from cursor.literal(closer)):
            cursor.commit()

    return read


def _arguments(cursor: Cursor, sink: CallSink, name: str, **options: object) -> Waits[bool]:
    def member(frames: Sequence[Frame], key: str, value: object) -> None:
        if len(frames) == 1:
            sink.member(name, key, value)

    closers = options.pop("closers", ())
    value = yield from json_value(cursor, closers, member, largest=sink.tools.bound, **options)  # type: ignore[arg-type]
    arguments = as_arguments(value[0]) if value is not None else None
    if arguments is None:
        return False
    sink.call(name, arguments)
    return True
