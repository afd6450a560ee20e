"""Where the calls of one answer go: whole ones, or argument by argument as they are read."""

from __future__ import annotations

import json
from typing import Any

from ...pieces import Call, CallDelta, Piece
from .loose_json import loads
from .offered_tools import OfferedTools


class CallSink:
    """Counts the calls of an answer, checks names, types arguments, and turns both into pieces.

    With `stream` a call begins with its name and its arguments follow one by one; else a call is given when all of it
    was read, and not at all if its end could not be.
    """

    def __init__(self, tools: OfferedTools, *, stream: bool = False) -> None:
        self.tools = tools
        self.stream = stream
        self.count = 0
        self._pieces: list[Piece] = []
        self._name: str | None = None
        self._given = 0

    def take(self) -> list[Piece]:
        """The pieces since the last time."""
        pieces, self._pieces = self._pieces, []
        return pieces

    @property
    def open(self) -> bool:
        """Whether a part of a call is out already."""
        return self._given > 0

    def member(self, name: str, key: str, value: Any) -> None:
        """The next argument of the call that is being read; `value` is of JSON. To be called for offered names."""
        if not self.stream or (self._name is not None and self._name != name):
            return
        text = f"{dumps(key)}: {dumps(self.tools.typed(name, key, value))}"
        if self._given:
            self._pieces.append(CallDelta(self.count, "", ", " + text))
        else:
            self._pieces.append(CallDelta(self.count, name, "{" + text))
        self._name = name
        self._given += 1

    def call(self, name: str, arguments: dict[str, Any]) -> None:
        """The call is complete; those of its arguments that are out already are the first ones of `arguments`."""
        arguments = {key: self.tools.typed(name, key, value) for key, value in arguments.items()}
        if self.open:
            self._pieces.append(CallDelta(self.count, "", "}"))
        elif self.stream:
            self._pieces.append(CallDelta(self.count, name, dumps(arguments)))
        else:
            self._pieces.append(Call(name, dumps(arguments)))
        self._next()

    def abandon(self) -> None:
        """The rest of a call that has begun cannot be read: it ends with the arguments that were given."""
        if self.open:
            self._pieces.append(CallDelta(self.count, "", "}"))
            self._next()

    def _next(self) -> None:
        self.count += 1
        self._name, self._given = None, 0


def dumps(value: Any) -> str:
    """JSON text of a value that JSON can hold."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def as_arguments(value: Any) -> dict[str, Any] | None:
    """An object of arguments from what a model put there: an object, its JSON text, or nothing. None: neither."""
    if isinstance(value, str):
        if not value.strip():
            return {}
        try:
            value = loads(value)
        except ValueError:
            return None
    if value is None or value == []:
        return {}
    return value if isinstance(value, dict) else None
