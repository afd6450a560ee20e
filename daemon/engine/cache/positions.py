"""Where each row of a decode batch stands, and what attention derives from that: offsets, masks, counts."""

from __future__ import annotations

import mlx.core as mx

from ..shapes import EXACT, Shapes
from . import capacity
from .pages import Pages
from .ragged import Ragged


class Positions:
    """Where each row stands: `lengths[i]` tokens of row i are in the caches. Shared by every layer of one batch.
    `shifts[i]` is what row i adds to a token's place to have its position, 0 before any picture; `moved`: some do.

    `ragged`: attention takes `Ragged` counts in place of masks. `shapes`: how many rows a step computes, `rows` of
    them; those beyond the `count` that there are hold nothing, and have their new token in the first column. `pages`:
    those of the rows, None where buffers have rows.
    """

    def __init__(self, *, ragged: bool = False, shapes: Shapes = EXACT, pages: Pages | None = None) -> None:
        self.ragged = ragged
        self.pages = pages
        self.shapes = shapes
        self.lengths: list[int] = []
        self.shifts: list[int] = []
        self.begin()

    def begin(self) -> None:
        """Forget what was derived from the lengths; call it whenever they change."""
        self._offsets: mx.array | None = None
        self._indices: dict[tuple[int, int], tuple[mx.array, mx.array, mx.array]] = {}
        self._masks: dict[tuple[int, int, int], mx.array] = {}
        self._counts: dict[int, mx.array] = {}
        if self.pages is not None:
            self.pages.hold(self.lengths)
        self.span = max(self.lengths, default=0) + 1
        self._computed = [*self.lengths, *[0] * (self.shapes.rows(self.count) - self.count)]
        self.moved = any(self.shifts)

    @property
    def count(self) -> int:
        return len(self.lengths)

    @property
    def rows(self) -> int:
        """How many rows a step computes."""
        return len(self._computed)

    @property
    def even(self) -> bool:
        """Whether all rows are of one length, so that each sees every column."""
        return len(set(self._computed)) <= 1

    @property
    def offsets(self) -> mx.array:
        """The position of each row's new token, int32 of shape (rows,)."""
        if self._offsets is None:
            self._offsets = mx.array(self._computed, dtype=mx.int32)
        return self._offsets

    @property
    def shifted(self) -> mx.array | None:
        """The positions of each row's new token, int32 of shape (rows, 1), where some are not its place."""
        if not self.moved:
            return None
        shifts = [*self.shifts, *[0] * (self.rows - self.count)]
        return (self.offsets + mx.array(shifts, dtype=mx.int32))[:, None]

    def index(self, heads: int, size: int) -> tuple[mx.array, mx.array, mx.array]:
        """Where each row's new token goes in a buffer of shape (rows, heads, columns, width), or of pages in place of
        rows; `size` as in `mask`."""
        key = (heads, size)
        if key not in self._indices:
            if self.pages is not None:
                row, column = self.pages.places(self.lengths, self.rows), self.offsets % capacity.PAGE
            else:
                row, column = mx.arange(self.rows), self.offsets % size if size else self.offsets
            row, head, column = mx.broadcast_arrays(row[:, None], mx.arange(heads)[None], column[:, None])
            self._indices[key] = (row, head, column)
        return self._indices[key]

    def advance(self) -> None:
        """The new token of every row is in the caches."""
        self.lengths = [length + 1 for length in self.lengths]
        self.begin()

    def visible(self, columns: int, size: int) -> Ragged:
        """How many columns each row's new token sees, where it sees all that are filled; `size` as in `mask`."""
        if size not in self._counts:
            self._counts[size] = mx.minimum(self.offsets + 1, size) if size else self.offsets + 1
        lengths = tuple(min(length + 1, size) if size else length + 1 for length in self._computed)
        table = None if self.pages is None else self.pages.table(self.rows)
        return Ragged(self._counts[size], lengths, lambda: self.mask(columns, size, 0), table)

    def counted(self, size: int) -> bool:
        """Whether attention of this step was told `visible` for caches of this `size`."""
        return size in self._counts

    def mask(self, columns: int, size: int, window: int) -> mx.array:
        """Which columns each row's new token may see: bool of shape (rows, 1, 1, columns).

        `size` is the period of a ring (0: columns are positions); `window` is how far back a token sees (0: all).
        """
        key = (columns, size, window)
        if key not in self._masks:
            now = self.offsets[:, None]
            column = mx.arange(columns)[None]
            age = (now - column) % size if size else now - column
            visible = (age >= 0) & (age <= now)
            if window:
                visible = visible & (age < window)
            self._masks[key] = visible[:, None, None]
        return self._masks[key]
