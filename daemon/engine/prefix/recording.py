"""What one group of prompts leaves in the prefix cache while it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from .chain import BLOCK, Chain
from .layers import cut, snapshot
from .prefix_cache import PrefixCache

SNAPSHOT_EVERY = 8 * BLOCK


class Recording:
    """Row i of a group's caches is read from the tokens of `chains[i]`, its first `lengths[i]` of them; all rows begin
    after `start` tokens. None: that row's are not kept."""

    def __init__(self, kept: PrefixCache, chains: Sequence[Chain | None], lengths: Sequence[int], start: int) -> None:
        self._kept = kept
        self._rows = {
            row: (chain, length)
            for row, (chain, length) in enumerate(zip(chains, lengths, strict=True))
            if chain is not None
        }
        self._next = {row: kept.depth(chain, length) for row, (chain, length) in self._rows.items()}
        self._done = start
        self._wanted: set[int] = set()
        if kept.needs_snapshots:
            for length in {length for _, length in self._rows.values()}:
                self._wanted |= {length // BLOCK * BLOCK, *range(SNAPSHOT_EVERY, length, SNAPSHOT_EVERY)}
            for chain, length in self._rows.values():
                self.want(kept.common(chain, length))
        self._wanted = {place for place in self._wanted if place > start}

    def want(self, tokens: int) -> bool:
        """Others go on from about here: there will be a snapshot at the block's end before it, unless all rows are past
        that."""
        place = tokens // BLOCK * BLOCK
        if place > self._done:
            self._wanted.add(place)
        return place in self._wanted

    @property
    def pending(self) -> list[list[bytes]]:
        """Of each row, the names of all its whole blocks."""
        return [chain.names(length) for chain, length in self._rows.values()]

    def stop(self, done: int, end: int) -> int:
        """Where a chunk from `done` to `end` had better end."""
        return min((place for place in self._wanted if done < place < end), default=end)

    def take(self, caches: list[Any], done: int) -> list[mx.array]:
        """Keep what is new after so many tokens. Gives what is to be computed for it."""
        found: list[mx.array] = []
        self._done = done
        for row, (chain, length) in list(self._rows.items()):
            for number in range(self._next[row], min(done, length) // BLOCK):
                parts = cut(caches, row, number * BLOCK, (number + 1) * BLOCK)
                if parts is None:
                    del self._rows[row]
                    break
                block = self._kept.add(chain, number * BLOCK, (number + 1) * BLOCK, parts)
                found += [] if block is None else block.arrays()
                self._next[row] = number + 1
            if done in self._wanted and row in self._rows and done <= length:
                found += self._kept.attach(chain, done, snapshot(caches, row, done))
        self._wanted.discard(done)
        return found
