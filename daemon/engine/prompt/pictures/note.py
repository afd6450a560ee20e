"""What whoever prepares a prompt tells before long work, for deadlines and bounds on memory."""

from __future__ import annotations

from typing import Protocol


class Note(Protocol):
    """Hears of a text of so many bytes, or a picture of so many pixels, before it is worked on; and how many bytes are
    kept of pictures that were read."""

    def __call__(self, size: int, pixels: int = 0, kept: int = 0) -> None: ...
