"""Which pages of a batch's buffers each row has: lists of numbers.

Where attention finds a row's columns page by page, a layer's buffers are so many pages of PAGE columns each, the same
ones in all layers of a batch, and a row has as many as its tokens need, wherever they are (Kwon et al. 2023, "Efficient
Memory Management for Large Language Model Serving with PagedAttention"). So no row is copied because another one joins,
is long, or leaves; only when the pages run out all are copied into more of them. Rows that join together have the whole
pages of what they all begin with in common: nobody writes there. Page NOBODYS is no row's: what only fills a batch up
writes there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import mlx.core as mx

from . import capacity
from .capacity import needed_pages

NOBODYS = 0


class Pages:
    """`rows[i]` are the pages of row i, in the order of its columns; buffers have `total` of them. `moves` counts how
    often they were moved together; `kept`: which ones of the buffers as they were before the last time stand there now.
    `common`: how many pages each of the rows that joined last has in common with one that was there before it.
    """

    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.total = self.moves = 0
        self.kept: list[int] = []
        self.common: list[int] = []
        self._free: list[int] = []
        self._tables: dict[int, mx.array] = {}
        self._picked: dict[tuple[int, ...], slice | mx.array] = {}
        self._places: tuple[tuple[int, ...], mx.array] | None = None

    def join(self, lengths: Sequence[int], alike: int = 0, like: int | None = None) -> None:
        """New last rows of so many tokens, of which the first `alike` are those of row `like`, None: of the first one
        of them."""
        before = [0] * len(self.rows)
        self.common = []
        for place, length in enumerate(lengths):
            row = len(before) if like is None else like
            whole = min(alike, length) // capacity.PAGE if row < len(self.rows) else 0
            self.common.append(whole)
            self.rows.append(self.rows[row][:whole] if whole else [])
            self.hold([*before, *lengths[: place + 1]])

    def hold(self, lengths: Iterable[int]) -> None:
        """Each row has room for so many tokens and the next one, and keeps what it has."""
        missing = [needed_pages(length + 1) - len(row) for length, row in zip(lengths, self.rows, strict=True)]
        more = sum(count for count in missing if count > 0)
        if not more:
            return
        if more > len(self._free):
            total = capacity.pages(len(_different(self.rows)) + more)
            self._free = [*range(total - 1, max(self.total, NOBODYS + 1) - 1, -1), *self._free]
            self.total = total
        for row, count in zip(self.rows, missing, strict=True):
            row += [self._free.pop() for _ in range(count)]
        self._tables.clear()
        self._picked.clear()

    def leave(self, staying: Sequence[int]) -> None:
        """Only these rows are left, in this order. Where half of the pages are free then, the others move together."""
        left = [self.rows[row] for row in staying]
        used = _different(left)
        self._free += [page for page in _different(self.rows) if page not in used]
        self._free.sort(reverse=True)  # so that what is taken next are neighbours where it can be
        self.rows = left
        self._tables.clear()
        self._picked.clear()
        total = capacity.pages(len(used)) if used else 0
        if 2 * total <= self.total:
            self.moves += 1
            numbers = {page: number for number, page in enumerate(used, NOBODYS + 1)}
            self.rows = [[numbers[page] for page in row] for row in left]
            self._free = list(range(total - 1, NOBODYS + len(used), -1))
            self.kept = [NOBODYS, *used]
            self.kept += [NOBODYS] * (total - len(self.kept))
            self.total = total

    def table(self, rows: int) -> mx.array:
        """Of `rows` rows or more than there are: int32 (rows, pages of the longest), which end with NOBODYS."""
        if rows not in self._tables:
            most = max(map(len, self.rows))
            filled = [row + [NOBODYS] * (most - len(row)) for row in self.rows]
            filled += [[NOBODYS] * most] * (rows - len(filled))
            self._tables[rows] = mx.array(filled, dtype=mx.int32)
        return self._tables[rows]

    def first(self, row: int, lengths: Sequence[int], start: int, stop: int) -> slice | mx.array:
        """Of rows of so many tokens, from `row` on, the pages from number `start` to before `stop` that hold them, as
        many a row as the longest has, NOBODYS where a shorter one has no more: in a row, or int32 (pages,)."""
        key = (row, *lengths, start, stop, -1)
        if key not in self._picked:
            ends = (min(stop, needed_pages(length)) for length in lengths)
            taken = [own[start:end] for own, end in zip(self.rows[row:], ends, strict=False)]
            most = max(map(len, taken))
            self._picked[key] = _places([page for own in taken for page in own + [NOBODYS] * (most - len(own))])
        return self._picked[key]

    def part(self, row: int, start: int, stop: int) -> slice | mx.array:
        """The pages of a row from number `start` to before `stop`, likewise."""
        key = (row, start, stop, -2)
        if key not in self._picked:
            self._picked[key] = _places(self.rows[row][start:stop])
        return self._picked[key]

    def place(self, row: int, length: int) -> int:
        """The page of a row's next token after so many."""
        return self.rows[row][length // capacity.PAGE]

    def places(self, lengths: Sequence[int], rows: int) -> mx.array:
        """The same of every row, int32 (rows,), NOBODYS for those beyond."""
        found = (*(self.place(row, length) for row, length in enumerate(lengths)), *[NOBODYS] * (rows - len(lengths)))
        if self._places is None or self._places[0] != found:
            self._places = found, mx.array(found, dtype=mx.int32)
        return self._places[1]


def _different(rows: Iterable[list[int]]) -> dict[int, None]:
    """Each page once, in the order of the rows."""
    return dict.fromkeys(page for row in rows for page in row)


def _places(numbers: list[int]) -> slice | mx.array:
    """A copy of neighbours is a tenth of what one of scattered pages takes on an NVIDIA GPU."""
    first = numbers[0]
    if numbers == list(range(first, first + len(numbers))):
        return slice(first, first + len(numbers))
    return mx.array(numbers, dtype=mx.int32)


def joined(pages: mx.array, columns: int) -> mx.array:
    """The first columns of one row that has these pages, (1, heads, columns, width), of (pages, heads, PAGE, width)."""
    count, heads, size, width = pages.shape
    return pages.transpose(1, 0, 2, 3).reshape(1, heads, count * size, width)[:, :, :columns]


def scatter(heads: int, width: int, dtype: mx.Dtype) -> None:
    """Copy a few scattered pages, so that what MLX compiles or loads for that does not hold up a batch later: on an
    NVIDIA GPU the first row that joined took 44 ms."""
    pages = mx.zeros((4, heads, capacity.PAGE, width), dtype=dtype)
    pages[mx.array([3, 1], dtype=mx.int32)] = pages[mx.array([0, 2], dtype=mx.int32)]
    mx.eval(pages)


def gathered(buffer: mx.array, table: mx.array, columns: int) -> mx.array:
    """The first columns of rows with these pages, (rows, heads, columns, width), of a buffer of pages (pages, heads,
    PAGE, width)."""
    rows, count = table.shape[0], needed_pages(columns)
    found = buffer[table[:, :count]].transpose(0, 2, 1, 3, 4)
    return found.reshape(rows, buffer.shape[1], count * capacity.PAGE, buffer.shape[3])[:, :, :columns]
