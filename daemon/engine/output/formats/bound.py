"""Answers that a grammar binds: reasoning can only stand before them, and no marker in them means anything."""

from __future__ import annotations

from ..overlap import overlap
from ..pieces import Piece, Reasoning, Text
from .family import Thoughts
from .format import Format, TextChannel


class BoundFormat:
    """A reasoning block, where there is one, and the answer as it is. White space beside the block is dropped.

    With `calls`, an answer that begins with `opener` is read by that format. `thought` None: there is no such block.
    """

    def __init__(
        self, thought: Thoughts | None, *, inside: bool = False, opener: str = "", calls: Format | None = None
    ) -> None:
        self._start, self._end = (thought.start, thought.end) if thought else ("", "")
        self._opener = opener
        self._calls = calls
        self._delegate: Format | None = None
        self._held = ""
        self._opening = bool(self._start) and not inside
        self._deciding = calls is not None
        self._strip = inside
        self._channel: TextChannel = "reasoning" if inside else "content"

    @property
    def channel(self) -> TextChannel:
        return self._channel if self._delegate is None else self._delegate.channel

    @property
    def decided(self) -> bool:
        """Whether it is known how the answer begins: with a reasoning block or without."""
        return not self._opening

    def add(self, text: str) -> list[Piece]:
        if self._delegate is not None:
            return self._delegate.add(text)
        self._held += text
        pieces: list[Piece] = []
        if self._opening and not self._open():
            return pieces
        if self._channel == "reasoning":
            at = self._held.find(self._end)
            keep = overlap(self._held, [self._end]) if at < 0 else len(self._held) - at
            self._give(pieces, keep)
            if at < 0:
                return pieces
            self._held = self._held[len(self._end) :]
            self._channel, self._strip = "content", True
        if self._deciding:
            return pieces + self._decide()
        self._give(pieces, 0)
        return pieces

    def finish(self, *, cut: bool = False) -> list[Piece]:
        if self._delegate is not None:
            return self._delegate.finish(cut=cut)
        pieces: list[Piece] = []
        self._give(pieces, 0)
        return pieces

    def _open(self) -> bool:
        """Whether it is certain how the text begins."""
        start, begun = self._start, self._held.lstrip()
        if not begun or (len(begun) < len(start) and start.startswith(begun)):
            return False
        self._opening = False
        if begun.startswith(start):
            self._held = begun[len(start) :]
            self._channel, self._strip = "reasoning", True
        return True

    def _decide(self) -> list[Piece]:
        """Whether the answer is a call."""
        assert self._calls is not None
        marker, begun = self._opener, self._held.lstrip()
        if not begun or (len(begun) < len(marker) and marker.startswith(begun)):
            return []
        self._deciding = False
        if marker and begun.startswith(marker):
            self._delegate, self._held = self._calls, ""
            return self._calls.add(begun)
        pieces: list[Piece] = []
        self._give(pieces, 0)
        return pieces

    def _give(self, pieces: list[Piece], keep: int) -> None:
        """Everything held but the last `keep` characters."""
        end = len(self._held) - keep
        text, self._held = self._held[:end], self._held[end:]
        if self._strip:
            text = text.lstrip()
            self._strip = not text
        if text:
            pieces.append(Text(text) if self._channel == "content" else Reasoning(text))
