"""Calls as JSON objects: `{"name": …, "arguments": {…}}`, one, several, or in an array; and JSON arguments alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from .call_sink import CallSink, as_arguments
from .cursor import Cursor, Read, Waits
from .loose_json import Frame, LooseJson, Member

NAMES = ("name", "tool_name", "function_name")
ARGUMENTS = ("arguments", "parameters", "args", "input")
_BESIDE = ("id", "type", "function", "tool_call_id", "index")
_FENCE = ("```json", "```")
_SURPLUS = re.compile(r"[\s}\]]*")


def objects(closer: str = "", *, keyed: bool = False) -> Read:
    """Objects with a name and arguments up to `closer`; `keyed`: objects whose one key is the name."""

    def read(cursor: Cursor, sink: CallSink) -> Waits[None]:
        while True:
            yield from cursor.blank()
            fenced = yield from cursor.literal(*_FENCE)
            yield from cursor.blank()
            letter = yield from cursor.peek()
            if letter not in ("{", "["):
                return
            if not (yield from _value(cursor, sink, closer, keyed)):
                return
            cursor.commit()
            if fenced:
                yield from cursor.blank()
                if (yield from cursor.literal("```")):
                    cursor.commit()
            if closer:
                yield from cursor.word(_SURPLUS)
            else:
                yield from cursor.blank()
            if closer and (yield from cursor.literal(closer)):
                cursor.commit()
                return
            yield from cursor.literal(",", ";")

    return read


def _value(cursor: Cursor, sink: CallSink, closer: str, keyed: bool) -> Waits[bool]:
    """One object or array, of which every part must be a call; given up as soon as it cannot be one."""
    given = 0
    hopeless = False

    def complete(items: list[Any]) -> bool:
        nonlocal given
        for item in items[given:]:
            call = _call(item, sink, keyed)
            if call is None:
                return False
            sink.call(*call)
            given += 1
        return True

    def member(frames: Sequence[Frame], key: str, value: Any) -> None:
        nonlocal hopeless
        base = 1 if frames[0].closes == "]" else 0
        if len(frames) == base + 1:
            first = len(frames[base].value) == 1
            hopeless = hopeless or not _may_be_part(key, value, sink, keyed=keyed, first=first)
        if not sink.stream or hopeless or (base and not complete(frames[0].value)):
            return
        name = _open_call(frames[base:], sink, keyed)
        if name is not None and len(frames[0].value if base else ()) == (given if base else 0):
            sink.member(name, key, value)

    value = yield from json_value(cursor, closer, member, lambda: hopeless, largest=sink.tools.bound)
    if value is None:
        return False
    items = value[0] if isinstance(value[0], list) else [value[0]]
    if not items or any(_call(item, sink, keyed) is None for item in items[given:]):
        return False
    return complete(items)


def _may_be_part(key: str, value: Any, sink: CallSink, *, keyed: bool, first: bool) -> bool:
    """Whether a call may have such a member; an unknown one beside those that make the call is no harm."""
    if keyed:
        return sink.tools.name(key) is not None or key in (*NAMES, *ARGUMENTS, *_BESIDE)
    if key in NAMES:
        return sink.tools.name(value) is not None
    return not first or key in ARGUMENTS or key in _BESIDE


def _open_call(frames: Sequence[Frame], sink: CallSink, keyed: bool) -> str | None:
    """The name of the call whose arguments are the innermost open object, if it is known by now."""
    path = [frame.key for frame in frames[:-1]]
    if not all(frame.named for frame in frames):
        return None
    if keyed:
        return sink.tools.name(path[0]) if len(path) == 1 else None
    if path[:1] == ["function"] and len(path) == 2:
        path, frames = path[1:], frames[1:]
    if len(path) != 1 or path[0] not in ARGUMENTS:
        return None
    return sink.tools.name(_name(frames[0].value))


def _name(value: dict[str, Any]) -> Any:
    return next((value[key] for key in NAMES if key in value), None)


def _call(value: Any, sink: CallSink, keyed: bool) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments, None for what is no call of an offered tool."""
    if not isinstance(value, dict):
        return None
    if keyed and len(value) == 1:
        ((said, given),) = value.items()
    else:
        if isinstance(value.get("function"), dict):
            value = value["function"]
        elif isinstance(value.get("function"), str):
            value = {"name": value["function"]} | value
        if not set(value) & set(ARGUMENTS) and set(value) - {*NAMES, *_BESIDE}:
            return None  # what may be its arguments has another name
        said = _name(value)
        given = next((value[key] for key in ARGUMENTS if key in value), None)
    name, arguments = sink.tools.name(said), as_arguments(given)
    return None if name is None or arguments is None else (name, arguments)


def json_value(
    cursor: Cursor,
    closers: str | tuple[str, ...] = "",
    member: Member | None = None,
    hopeless: Callable[[], bool] = lambda: False,
    **options: Any,
) -> Waits[list[Any] | None]:
    """A value, in a list of its own; None where there is none, where it is no longer wanted, or where the text was cut
    off in it."""
    after = (closers,) if isinstance(closers, str) else closers
    reader = LooseJson(member, tuple(each for each in after if each), **options)
    while True:
        state = reader.add(cursor.take())
        if hopeless():
            return None
        if state in ("done", "failed"):
            break
        if cursor.final:
            if cursor.cut or not reader.close():
                return None
            break
        yield
    cursor.give_back(reader.rest)
    return [reader.value] if reader.expects == "done" else None


def arguments_of(cursor: Cursor, sink: CallSink, name: str, closers: tuple[str, ...]) -> Waits[bool]:
    """The object of arguments behind a name that is known."""
    yield from cursor.blank()
    fenced = yield from cursor.literal(*_FENCE)
    yield from cursor.blank()

    def member(frames: Sequence[Frame], key: str, value: Any) -> None:
        if len(frames) == 1:
            sink.member(name, key, value)

    letter = yield from cursor.peek()
    if letter not in ("{", '"', "'", "n", "N", "["):
        closer = bool(closers) and (yield from cursor.ahead(*closers))
        if not (closer or (cursor.final and not cursor.cut and not letter)):
            return False
        sink.call(name, {})
        return True
    value = yield from json_value(cursor, (*closers, "```") if fenced else closers, member, largest=sink.tools.bound)
    arguments = as_arguments(value[0]) if value is not None else None
    if arguments is None:
        return False
    sink.call(name, arguments)
    if fenced:
        yield from cursor.blank()
        yield from cursor.literal("```")
    return True
