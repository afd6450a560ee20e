"""What every format has in common."""

from __future__ import annotations

from typing import Literal, Protocol

from ..pieces import Piece

TextChannel = Literal["content", "reasoning", "tool"]


class Format(Protocol):
    """Follows one choice's text. Nothing of it is lost: what is no reasoning and no call that can be read is Text."""

    @property
    def channel(self) -> TextChannel:
        """Where the text stands now."""

    def add(self, text: str) -> list[Piece]:
        """What is certain after some more text."""

    def finish(self, *, cut: bool = False) -> list[Piece]:
        """What is left when the text ends. `cut`: because there was no room for more; a call that was not complete by
        then is none."""
