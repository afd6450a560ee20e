"""Reasoning and tool calls between markers, the calls in a notation that a parser of mlx-lm reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..overlap import overlap
from ..pieces import Call, Piece, Reasoning, Text
from .format import TextChannel

ToolParser = Callable[[str, Any], Any]


@dataclass(frozen=True)
class Markers:
    """The strings that open and close each channel; empty where the model has none."""

    think_start: str = ""
    think_end: str = ""
    tool_start: str = ""
    tool_end: str = ""


class MarkedFormat:
    """Follows the markers through a growing text; what may be the beginning of a marker is kept back.

    A call is read when its block is closed, or when the text ends without the closing marker. White space beside a
    reasoning block is layout, not content: it is dropped at the seams. `parser` None: calls stay text.
    """

    def __init__(
        self,
        markers: Markers,
        parser: ToolParser | None = None,
        tools: tuple[dict[str, Any], ...] = (),
        *,
        reasoning: bool,
        calls: bool,
        inside_reasoning: bool = False,
    ) -> None:
        self._markers = markers
        self._parser = parser
        self._tools = list(tools)
        self._reasoning = reasoning and bool(markers.think_start)
        self._calls = calls and bool(markers.tool_start)
        self.channel: TextChannel = "reasoning" if inside_reasoning and self._reasoning else "content"
        self._held = ""
        self._block: list[str] = []
        self._strip = self.channel == "reasoning"

    def add(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        self._held += text
        while True:
            markers = self._next_markers()
            found = min(((at, marker) for marker in markers if (at := self._held.find(marker)) >= 0), default=None)
            if found is None:
                break
            at, marker = found
            self._give(pieces, self._held[:at])
            self._held = self._held[at + len(marker) :]
            self._enter(pieces, markers[marker])
        keep = overlap(self._held, list(markers))
        self._give(pieces, self._held[: len(self._held) - keep])
        self._held = self._held[len(self._held) - keep :]
        return pieces

    def finish(self) -> list[Piece]:
        held, self._held = self._held, ""
        pieces: list[Piece] = []
        self._give(pieces, held)
        if self.channel == "tool":
            self._close_block(pieces, closed=False)
        return pieces

    def _next_markers(self) -> dict[str, TextChannel]:
        """The markers that may come next, and the channel that each begins."""
        markers = self._markers
        if self.channel == "reasoning":
            return {markers.think_end: "content"} if markers.think_end else {}
        if self.channel == "tool":
            return {markers.tool_end: "content"} if markers.tool_end else {}
        openers: dict[str, TextChannel] = {}
        if self._reasoning:
            openers[markers.think_start] = "reasoning"
        if self._calls:
            openers[markers.tool_start] = "tool"
        return openers

    def _enter(self, pieces: list[Piece], channel: TextChannel) -> None:
        if self.channel == "tool":
            self._close_block(pieces, closed=True)
        self._strip = True
        self.channel = channel

    def _give(self, pieces: list[Piece], text: str) -> None:
        if self.channel == "tool":
            self._block.append(text)
            return
        if self._strip:
            text = text.lstrip()
            self._strip = not text
        if text:
            pieces.append(Text(text) if self.channel == "content" else Reasoning(text))

    def _close_block(self, pieces: list[Piece], *, closed: bool) -> None:
        """A block that cannot be read goes to the user as the model wrote it."""
        text = "".join(self._block)
        self._block.clear()
        calls = parse_calls(text, self._parser, self._tools) if self._parser else ()
        markers = self._markers
        pieces.extend(calls or [Text(markers.tool_start + text + (markers.tool_end if closed else ""))])


def parse_calls(text: str, parser: ToolParser, tools: list[dict[str, Any]]) -> tuple[Call, ...]:
    """The calls in one marked block, empty when the parser finds none: then the text belongs to the user.

    Parsers raise whatever their formats make them raise on malformed text, and may give values that JSON cannot hold
    (a set, NaN, half a surrogate pair); all of it means the same here.
    """
    try:
        parsed = parser(text, tools)
        return tuple(_call(call) for call in (parsed if isinstance(parsed, list) else [parsed]))
    except Exception:
        return ()


def _call(call: Any) -> Call:
    """Raises TypeError, KeyError, ValueError for what is no call."""
    name, arguments = call["name"], call.get("arguments", {})
    if isinstance(arguments, str):
        arguments = json.loads(arguments)
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise TypeError("a call has a name and an object of arguments")
    text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    text.encode()
    name.encode()
    return Call(name, text)
