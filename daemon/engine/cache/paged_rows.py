"""Keys and values of one attention layer for a decode batch whose rows have pages of their own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import mlx.core as mx
from mlx_lm.models.cache import KVCache

from . import capacity
from .attention_rows import AttentionRows
from .capacity import needed_pages
from .common_beginning import Columns, CommonBeginning, together
from .pages import NOBODYS, Pages, gathered, joined
from .positions import Positions


class PagedRows(AttentionRows):
    """Buffers of shape (pages, kv heads, PAGE, head width): the token at position p of a row lies in column p % PAGE of
    its page number p // PAGE, by the `pages` of these positions. Every token is kept."""

    def __init__(self, positions: Positions) -> None:
        super().__init__(positions)
        assert positions.pages is not None
        self._pages: Pages = positions.pages
        self._moves = self._pages.moves

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """As AttentionRows; the buffers are pages where the mask of this step is `Ragged`."""
        positions, rows = self.positions, self.positions.rows
        self._hold(keys, values)
        assert self.keys is not None and self.values is not None
        if rows == 1:
            page, at = self._pages.place(0, positions.lengths[0]), positions.lengths[0] % capacity.PAGE
            self.keys[page : page + 1, :, at : at + 1] = keys
            self.values[page : page + 1, :, at : at + 1] = values
        else:
            self.keys[positions.index(keys.shape[1], 0)] = keys[:, :, 0]
            self.values[positions.index(values.shape[1], 0)] = values[:, :, 0]
        if positions.counted(0):
            return self.keys, self.values
        table = self._pages.table(rows)
        return gathered(self.keys, table, positions.span), gathered(self.values, table, positions.span)

    def _hold(self, keys: mx.array, values: mx.array) -> None:
        """As many pages as there are; `keys` and `values` show heads, widths and dtypes."""
        self.keys, self.values = self._extended(self.keys, keys), self._extended(self.values, values)

    def _extended(self, buffer: mx.array | None, like: mx.array) -> mx.array:
        more = self._pages.total - (0 if buffer is None else buffer.shape[0])
        if buffer is not None and not more:
            return buffer
        new = mx.zeros((more, like.shape[1], capacity.PAGE, like.shape[3]), dtype=like.dtype)
        return new if buffer is None else mx.concatenate([buffer, new])

    def join(self, row: int, source: KVCache | CommonBeginning, source_row: int, lengths: Sequence[int]) -> None:
        """The rows have their pages already, and those that they have in common with others are written."""
        if not max(lengths):
            return
        self._hold(source.keys, source.values)
        border = 0
        if isinstance(source, CommonBeginning):
            border = source.pages
            self._write_beginning(row, source, lengths)
        for first, place in _runs([max(common, border) for common in self._pages.common]):
            rows, start = slice(source_row + place.start, source_row + place.stop), first * capacity.PAGE
            last = needed_pages(max(lengths[place]))
            if last > first:
                self._write(row + place.start, lengths[place], first, last, _parts(source, rows, start))

    def _write_beginning(self, row: int, source: CommonBeginning, lengths: Sequence[int]) -> None:
        """The whole pages of what all rows from `row` on begin with, of those that have them not in common."""
        border = source.pages
        for common, place in _runs(self._pages.common):
            if common < border:
                start = common * capacity.PAGE
                part = source.first(place.stop - place.start, start, border * capacity.PAGE)
                self._write(row + place.start, lengths[place], common, border, [(start, part)])

    def _write(
        self, row: int, lengths: Sequence[int], first: int, last: int, parts: Sequence[tuple[int, Columns]]
    ) -> None:
        """Of rows of so many tokens, from `row` on, the pages from number `first` to before `last`: the columns in
        these parts, each with the place of its first token, as far as there are pages for them."""
        assert self.keys is not None and self.values is not None
        pages, start = self._pages.first(row, lengths, first, last), first * capacity.PAGE
        if last - first > 1 or not isinstance(pages, slice):
            keys, values = together([part for _, part in parts])
            self.keys[pages], self.values[pages] = _in_pages(keys, last - first), _in_pages(values, last - first)
            return
        for place, (keys, values) in parts:  # one page a row, next to each other: nothing is put together or filled up
            left = capacity.PAGE - (place - start)
            places = slice(place - start, place - start + min(left, keys.shape[2]))
            if left > 0:
                self.keys[pages, :, places] = keys[:, :, :left]
                self.values[pages, :, places] = values[:, :, :left]

    def columns(self, row: int, start: int, stop: int) -> tuple[mx.array, mx.array]:
        """Copies of a row's keys and values of the tokens from `start` to before `stop`, (1, heads, tokens, width)."""
        assert self.keys is not None and self.values is not None
        first, last = start // capacity.PAGE, needed_pages(stop)
        places = slice(start - first * capacity.PAGE, stop - first * capacity.PAGE)
        part, end = self._pages.part(row, first, last), stop - first * capacity.PAGE
        keys, values = (joined(buffer[part], end)[:, :, places] for buffer in (self.keys, self.values))
        return mx.contiguous(keys), mx.contiguous(values)

    def take(self, row: int, length: int) -> KVCache:
        cache = KVCache()
        if length and self.keys is not None:
            (cache.keys, cache.values), cache.offset = self.columns(row, 0, length), length
        return cache

    def move(self, source: int, target: int) -> None:
        """The row keeps its pages."""

    def cut(self, count: int) -> None:
        """Those of rows from `count` on are free; memory is given back where the pages were moved together."""
        moved, self._moves = self._moves != self._pages.moves, self._pages.moves
        if self.keys is None or self.values is None:
            return
        if not count:
            self.keys = self.values = None
        elif moved:
            have = self.keys.shape[0]  # the last ones may be for tokens that come next
            kept = mx.array([page if page < have else NOBODYS for page in self._pages.kept], dtype=mx.int32)
            self.keys, self.values = self.keys[kept], self.values[kept]


def _parts(source: KVCache | CommonBeginning, rows: slice, start: int) -> list[tuple[int, Columns]]:
    """As `CommonBeginning.parts`, of either."""
    if isinstance(source, CommonBeginning):
        return source.parts(rows, start)
    return [(start, (source.keys[rows, :, start:], source.values[rows, :, start:]))]


def _runs(values: Sequence[int]) -> list[tuple[int, slice]]:
    """Each value with the places that it stands at, one after the other."""
    ends = [place for place in range(1, len(values)) if values[place] != values[place - 1]]
    return [(values[first], slice(first, last)) for first, last in pairwise([0, *ends, len(values)])]


def _in_pages(rows: mx.array, count: int) -> mx.array:
    """(rows, heads, columns, width) as (rows * count, heads, PAGE, width): the first `count` pages of each."""
    number, heads, columns, width = rows.shape
    if columns < count * capacity.PAGE:
        rows = mx.pad(rows, [(0, 0), (0, 0), (0, count * capacity.PAGE - columns), (0, 0)])
    parted = rows[:, :, : count * capacity.PAGE].reshape(number, heads, count, capacity.PAGE, width)
    return parted.transpose(0, 2, 1, 3, 4).reshape(number * count, heads, capacity.PAGE, width)
