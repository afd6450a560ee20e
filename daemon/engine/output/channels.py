"""One sequence's text cut into what the user reads, what the model thinks, and the tool calls it makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ...protocol import ToolCall

Channel = Literal["content", "reasoning", "tool"]


@dataclass(frozen=True)
class Markers:
    """The strings that open and close each channel; empty where the model has none."""

    think_start: str = ""
    think_end: str = ""
    tool_start: str = ""
    tool_end: str = ""


@dataclass
class Piece:
    channel: Channel
    text: str


class ChannelSplitter:
    """Follows the markers through a growing text; what may be the beginning of a marker is kept back.

    A tool call's text comes as one piece when it is closed (or when the text ends without the closing marker). White
    space beside a reasoning block is layout, not content: it is dropped at the seams.
    """

    def __init__(self, markers: Markers, *, reasoning: bool, tools: bool, inside_reasoning: bool = False) -> None:
        self._markers = markers
        self._reasoning = reasoning and bool(markers.think_start)
        self._tools = tools and bool(markers.tool_start)
        self.channel: Channel = "reasoning" if inside_reasoning and self._reasoning else "content"
        self._held = ""
        self._strip = self.channel == "reasoning"

    def _openers(self) -> list[tuple[str, Channel]]:
        markers = self._markers
        if self.channel == "reasoning":
            return [(markers.think_end, "content")]
        if self.channel == "tool":
            return [(markers.tool_end, "content")] if markers.tool_end else []
        openers: list[tuple[str, Channel]] = []
        if self._reasoning:
            openers.append((markers.think_start, "reasoning"))
        if self._tools:
            openers.append((markers.tool_start, "tool"))
        return openers

    def add(self, text: str) -> list[Piece]:
        if not (self._reasoning or self._tools):
            return [Piece("content", text)] if text else []
        pieces: list[Piece] = []
        self._held += text
        while True:
            openers = self._openers()
            found = min(
                ((at, marker, to) for marker, to in openers if (at := self._held.find(marker)) >= 0), default=None
            )
            if found is None:
                break
            at, marker, to = found
            self._give(pieces, self._held[:at])
            self._held = self._held[at + len(marker) :]
            self._strip = "reasoning" in (self.channel, to) or "tool" in (self.channel, to)
            self.channel = to
        if self.channel != "tool":
            keep = _overlap(self._held, [marker for marker, _ in self._openers()])
            self._give(pieces, self._held[: len(self._held) - keep])
            self._held = self._held[len(self._held) - keep :]
        return pieces

    def _give(self, pieces: list[Piece], text: str) -> None:
        if self._strip and self.channel != "tool":
            text = text.lstrip()
            self._strip = not text
        if text or self.channel == "tool":
            pieces.append(Piece(self.channel, text))

    def finish(self) -> list[Piece]:
        held, self._held = self._held, ""
        pieces: list[Piece] = []
        self._give(pieces, held)
        return pieces


def _overlap(text: str, markers: list[str]) -> int:
    for keep in range(min(max(map(len, markers), default=1) - 1, len(text)), 0, -1):
        if any(marker.startswith(text[len(text) - keep :]) for marker in markers):
            return keep
    return 0


ToolParser = Callable[[str, Any], Any]


def parse_tool_calls(text: str, parser: ToolParser, tools: list[dict[str, Any]]) -> tuple[ToolCall, ...]:
    """The calls in one marked block, empty when the parser finds none: then the text belongs to the user.

    Parsers raise whatever their formats make them raise on malformed text; all of it means the same here.
    """
    try:
        parsed = parser(text, tools)
    except Exception:
        return ()
    calls = parsed if isinstance(parsed, list) else [parsed]
    result = []
    for call in calls:
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            return ()
        arguments = call.get("arguments", {})
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except ValueError:
                return ()
        if not isinstance(arguments, dict):
            return ()
        result.append(ToolCall(name=call["name"], arguments=json.dumps(arguments, ensure_ascii=False)))
    return tuple(result)
