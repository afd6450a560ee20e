"""The shapes that batches have.

MLX's CUDA backend makes a plan for every shape of attention that it meets (cuDNN's), which takes tens of milliseconds,
many times what a batch of short texts does. There batches, and the chunks of prompts, get one of a few shapes: some
rows stand twice in them, and there is more padding. Elsewhere a batch is as large as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_STEPS = ((16, 16), (128, 16), (512, 64), (2048, 256))  # up to so many columns, in steps of so many
_LONG = 512
_GRAIN = 64
_CHUNKS = ((512, _GRAIN), (1024, 128), (2048, 256), (7168, 512), (1 << 31, 1024))  # up to so many tokens, multiples
CHUNK = 8192
"""Tokens of the longest chunks of prompts, with the usual settings. Where there are few shapes those begin at multiples
of it."""


@dataclass(frozen=True)
class Shapes:
    """`few`: only some shapes. No row is wider than `longest` tokens."""

    few: bool = False
    longest: int = 1 << 31

    def columns(self, width: int) -> int:
        """How wide a batch is whose longest row has so many tokens."""
        if not self.few or width >= self.longest:
            return width
        step = next((step for most, step in _STEPS if width <= most), _LONG)
        return min(self.longest, -(-width // step) * step)

    def whole(self, width: int) -> int:
        """How many of so many tokens a chunk takes that is not the last one of its prompt: a power of two, or one and a
        half of one."""
        if not self.few or width < _GRAIN:
            return width
        power = 1 << (width.bit_length() - 1)
        more = power * 3 // 2
        return more if more <= width and not more % _GRAIN else power

    def chunk(self, width: int) -> int:
        """To how many tokens the last chunk of a prompt is padded: by an eighth to a quarter at most where it is not
        short."""
        if not self.few:
            return width
        grain = next(grain for most, grain in _CHUNKS if width <= most)
        return -(-width // grain) * grain

    def end(self, start: int, end: int) -> int:
        """Where a chunk that is not the last one of its prompt ends, which begins at `start` and may go to `end`."""
        border = end // CHUNK * CHUNK
        return border if self.few and border > start else end

    def rows(self, count: int) -> int:
        """How many rows stand in a batch of so many: a power of two, or one and a half of one."""
        if not self.few or count < 4:
            return count
        power = 1 << (count - 1).bit_length()
        return power * 3 // 4 if count <= power * 3 // 4 else power

    @property
    def grain(self) -> int:
        """Of how many tokens the places are multiples where chunks of a prompt begin."""
        return _GRAIN if self.few else 1

    def filled(self, rows: list[T]) -> list[T]:
        """These rows and then the last one again, as often as it takes."""
        return rows + rows[-1:] * (self.rows(len(rows)) - len(rows))


EXACT = Shapes()
