"""The blocks that follow one and the same block, in the order of their tokens: what begins alike stands together."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

from .block import Block
from .chain import BYTES


class Siblings:
    """No two have the same tokens. All looking is linear in a block and logarithmic in the number of blocks."""

    def __init__(self) -> None:
        self._tokens: list[bytes] = []
        self._blocks: dict[bytes, Block] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def add(self, block: Block) -> None:
        insort(self._tokens, block.tokens)
        self._blocks[block.tokens] = block

    def remove(self, block: Block) -> None:
        del self._tokens[bisect_left(self._tokens, block.tokens)]
        del self._blocks[block.tokens]

    def nearest(self, tokens: bytes) -> tuple[Block | None, int]:
        """That which has most tokens in common with these packed ones, and how many; None where all begin otherwise."""
        place = bisect_left(self._tokens, tokens)
        nearest, most = None, 0
        for other in self._tokens[max(0, place - 1) : place + 1]:
            if (common := _common(tokens, other) // BYTES) > most:
                nearest, most = self._blocks[other], common
        return nearest, most

    def beginnings(self, tokens: bytes) -> Iterator[Block]:
        """Those of which all tokens are the first of these packed ones, the longest first."""
        left = tokens
        while left:
            place = bisect_right(self._tokens, left)
            if not place:
                return
            before = self._tokens[place - 1]
            common = _common(left, before) // BYTES * BYTES
            if common == len(before):
                yield self._blocks[before]
                common -= BYTES
            left = left[:common]


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two beginnings have in common."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
