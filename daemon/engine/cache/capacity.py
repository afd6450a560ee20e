"""How large the buffers of decoding rows are, and which rows share them: arithmetic on lengths, no tensors.

Rows of one bucket share buffers as wide as its longest row needs, and one forward pass a step. A second bucket costs
a second pass, which reads the weights again; it saves the columns that the shorter rows do not need.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise

STEP = 256
PAGE = 256
"""Columns of a page, as many as a block of kept tokens has."""
FEWEST_PAGES = 2
MOST_GROWTH = 4096
MOST_MORE_PAGES = 256
MOST_BUCKETS = 3
MARGIN = 0.5
RAGGED = 4


@cache
def columns(tokens: int) -> int:
    """The width of a buffer for rows of up to so many tokens: 256, 512, 768, 1280, 2048, … each a half wider than the
    one before, rounded up to STEP, but never by more than MOST_GROWTH. So a growing row is copied seldom, and what a
    buffer takes depends on its longest row alone."""
    width = STEP
    while width < tokens:
        width += min(-(-width // (2 * STEP)) * STEP, MOST_GROWTH)
    return width


def needed_pages(tokens: int) -> int:
    """How many pages so many tokens of a row take."""
    return -(-tokens // PAGE)


@cache
def pages(needed: int) -> int:
    """How many pages buffers have of which rows need so many, and one is nobody's: 2, 3, 4, 6, 9, 13, 19, …, each a
    half more than the one before, but never more than MOST_MORE_PAGES more."""
    total = FEWEST_PAGES
    while total < needed + 1:
        total += min(total // 2, MOST_MORE_PAGES)
    return total


def rows(count: int) -> int:
    """How many rows a buffer has for so many sequences: a power of two."""
    return 1 << (count - 1).bit_length() if count else 0


@dataclass(frozen=True)
class RowBytes:
    """What one sequence's caches take: `column` bytes for each token in full attention layers, `rings` (columns, bytes
    a column) for sliding windows, `state` bytes whatever the length (recurrent states)."""

    column: int
    rings: tuple[tuple[int, int], ...] = ()
    state: int = 0

    @property
    def token(self) -> int:
        """Bytes of one more token while no window is full."""
        return self.column + sum(one for _, one in self.rings)

    def buffers(self, count: int, width: int) -> int:
        """Bytes of the buffers for so many sequences, of so many columns."""
        keys_and_values = self.column * width + sum(min(size, width) * one for size, one in self.rings)
        return rows(count) * keys_and_values + count * self.state

    def read(self, count: int, width: int) -> int:
        """Bytes of the rows themselves, as far as the columns go."""
        return count * self.buffers(1, width)


UNKNOWN = RowBytes(0)


def pass_bytes(weight_bytes: int, *, ragged: bool) -> int:
    """What a forward pass more a step is held to cost, in bytes of padding that it has to save: it reads the weights.

    Attention by counts (`ragged`) skips padding anyway, so that there only memory is saved and no time: more has to be.
    """
    return weight_bytes * (RAGGED if ragged else 1)


@dataclass(frozen=True)
class Costs:
    """`row`: the caches of one row; `forward`: `pass_bytes`. `paged`: rows have pages of their own."""

    row: RowBytes
    forward: int
    paged: bool = False

    def width(self, tokens: int) -> int:
        """Columns that a row of so many tokens takes."""
        return needed_pages(tokens) * PAGE if self.paged else columns(tokens)

    def step(self, lengths: Iterable[int]) -> int:
        """The bytes that a bucket with rows of so many tokens stands for: its columns, padding too, and its pass."""
        known = list(lengths)
        return self.forward + self.row.read(len(known), columns(max(known) + 1))


def buckets(lengths: Mapping[int, int], costs: Costs) -> list[list[int]]:
    """Which rows share buffers so that a step costs least: at most MOST_BUCKETS, each with rows of neighbouring
    lengths, the longest first. `lengths` has each row's tokens by the key that names the row."""
    if not lengths:
        return []
    order = sorted(lengths, key=lambda key: -lengths[key])
    if costs.paged:
        return [order]
    # Only where the width changes is there anything to win.
    widths = [columns(lengths[key] + 1) for key in order]
    edges = [place for place in range(1, len(order)) if widths[place] != widths[place - 1]]

    @cache
    def step(begin: int, end: int) -> int:
        return costs.step(lengths[key] for key in order[begin:end])

    def cost(cuts: tuple[int, ...]) -> int:
        return sum(step(begin, end) for begin, end in pairwise((0, *cuts, len(order))))

    choices = (cuts for count in range(MOST_BUCKETS) for cuts in combinations(edges, count))
    bounds = (0, *min(choices, key=cost), len(order))
    return [order[begin:end] for begin, end in pairwise(bounds)]


def rearranged(present: list[list[int]], lengths: Mapping[int, int], costs: Costs) -> list[list[int]]:
    """`buckets`, or the present ones as long as those cost hardly more: rows are not copied to and fro for little.
    A row that is in none of them yet is put where it adds least."""

    def step(group: list[int]) -> int:
        return costs.step(lengths[key] for key in group) if group else 0

    present = [list(group) for group in present] or [[]]
    for key in sorted(lengths.keys() - {key for group in present for key in group}):
        more = [step([*group, key]) - step(group) for group in present]
        present[more.index(min(more))].append(key)
    best = buckets(lengths, costs)
    spared = sum(map(step, present)) - sum(map(step, best))
    return best if spared > MARGIN * costs.forward else [group for group in present if group]


def capacity(lengths: Iterable[int], costs: Costs) -> int:
    """Bytes of the caches of rows that hold so many tokens each, where `buckets` puts them, the next token included.

    This is for asking beforehand. What there is now is the forward's `nbytes`, which may be more: rows stay together
    while parting them would save little, and buffers shrink only when half of a dimension is free.
    """
    known = dict(enumerate(lengths))
    if costs.paged:
        needed = sum(needed_pages(length + 1) for length in known.values())
        return costs.row.column * PAGE * pages(needed) if needed else 0
    return sum(
        costs.row.buffers(len(group), columns(max(known[key] for key in group) + 1)) for group in buckets(known, costs)
    )
