"""Text without reasoning and calls."""

from __future__ import annotations

from ..pieces import Piece, Text
from .format import TextChannel


class PlainFormat:
    channel: TextChannel = "content"

    def add(self, text: str) -> list[Piece]:
        return [Text(text)] if text else []

    def finish(self, *, cut: bool = False) -> list[Piece]:
        return []
