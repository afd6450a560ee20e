"""Text that means nothing but itself."""

from __future__ import annotations

from ..pieces import Piece, Text
from .format import Channel


class PlainFormat:
    channel: Channel = "content"

    def add(self, text: str) -> list[Piece]:
        return [Text(text)] if text else []

    def finish(self) -> list[Piece]:
        return []
