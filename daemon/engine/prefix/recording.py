"""What one group of prompts leaves in the prefix cache while it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

from .chain import BLOCK, Chain
from .layers import arrays, by_columns, cut, keepable, leaves, snapshot
from .prefix_cache import PrefixCache

SNAPSHOT_EVERY = 8 * BLOCK
TOGETHER = 8
"""Blocks that share memory where that is much beside what may be kept."""
MOST_TOGETHER = 64
PART = 64
"""Of what may be kept, as which more blocks than that share memory: each copy costs a launch a layer."""


class Recording:
    """Row i of a group's caches is read from the tokens of `chains[i]`, its first `lengths[i]` of them; all rows begin
    after `start` tokens. None: that row's are not kept. `ends`: those after the last whole block are, without anybody
    else who goes on from there. `before`: where these may be parted, the nearest place up to another one."""

    def __init__(
        self,
        kept: PrefixCache,
        chains: Sequence[Chain | None],
        lengths: Sequence[int],
        start: int,
        before: Callable[[int], int] = lambda place: place,
        *,
        ends: bool = True,
    ) -> None:
        self._kept = kept
        self._before = before
        self.rows = {
            row: (chain, length)
            for row, (chain, length) in enumerate(zip(chains, lengths, strict=True))
            if chain is not None
        }
        self._next = {row: kept.depth(chain, length) for row, (chain, length) in self.rows.items()}
        self.done = self._reached = start
        self._together = 0
        self._wanted: set[int] = set()
        for chain, length in self.rows.values():
            if ends:
                self.want(length)
            if kept.needs_snapshots and not kept.whole_turns:
                self._wanted.update(map(before, range(SNAPSHOT_EVERY, length, SNAPSHOT_EVERY)))
            if kept.needs_snapshots:
                self.want(kept.common(chain, length))
        self._wanted = {place for place in self._wanted if place > start}

    def want(self, tokens: int) -> bool:
        """Others go on from there, so that many tokens are kept whatever the place in a block. False where all rows
        are past it, or will be with what is being read."""
        tokens = self._before(tokens)
        if tokens > self.done and (tokens >= self._reached or not self._kept.needs_snapshots):
            self._wanted.add(tokens)
        return tokens in self._wanted

    def reach(self, end: int) -> None:
        """What is being read now ends after so many tokens."""
        self._reached = end

    def stop(self, done: int, end: int) -> int:
        """Where a chunk from `done` to `end` had better end."""
        return min((place for place in self._wanted if done < place < end and self._stops_at(place)), default=end)

    def _stops_at(self, place: int) -> bool:
        """Rows that end before the others do not hold them up, where what they end with is still there later."""
        return self._kept.needs_snapshots or all(length != place for _, length in self.rows.values())

    def take(self, caches: list[Any], done: int) -> list[mx.array]:
        """Keep what is new after so many tokens. Gives what is to be computed for it."""
        found: list[mx.array] = []
        self.done = done
        for row, (chain, length) in list(self.rows.items()):
            found += self._keep_blocks(caches, row, chain, min(done, length) // BLOCK)
            ends = [place for place in self._wanted if place <= min(done, length) and row in self.rows]
            for place in ends:
                found += self._keep(caches, row, chain, place, exact=place == done)
        self._wanted = {place for place in self._wanted if place > done}
        return found

    def end(self, caches: list[Any]) -> list[mx.array]:
        """Nobody reads on for now: of rows that are not at their ends keep all that was read, so that whoever asks
        again goes on from there. Gives what is to be computed for it."""
        found: list[mx.array] = []
        for row, (chain, length) in list(self.rows.items()):
            if self.done < length and self._before(self.done) == self.done:
                found += self._keep(caches, row, chain, self.done, exact=True)
        return found

    def _keep_blocks(self, caches: list[Any], row: int, chain: Chain, end: int) -> list[mx.array]:
        """Of a row the whole blocks that are new, before block number `end`; several in one piece of memory."""
        found: list[mx.array] = []
        self._together = self._together or together(caches, self._kept.limit)
        while (first := self._next[row]) < end:
            last = min(end, first + self._together)
            parts = cut(caches, row, first * BLOCK, last * BLOCK)
            if parts is None:
                del self.rows[row]
                break
            self._next[row] = last
            if self._kept.add_run(chain, first * BLOCK, last * BLOCK, parts):
                found += arrays(parts)
        return found

    def _keep(self, caches: list[Any], row: int, chain: Chain, stop: int, *, exact: bool) -> list[mx.array]:
        """Of a row the tokens from the beginning of a block to before `stop`; `exact`: these are all that it has."""
        after = snapshot(caches, row, stop) if exact and self._kept.needs_snapshots else None
        start = (stop - 1) // BLOCK * BLOCK
        if stop - start < BLOCK and self._kept.needs_snapshots and after is None:
            return []
        if self._kept.has(chain, stop):
            return self._kept.attach(chain, stop, after) if after is not None else []
        parts = cut(caches, row, start, stop)
        if parts is None:
            self.rows.pop(row, None)
            return []
        block = self._kept.add(chain, start, stop, parts, after)
        return [] if block is None else block.arrays()


def together(caches: Sequence[Any], limit: int) -> int:
    """How many blocks of plain caches that hold a token share memory, where so many bytes may be kept."""
    if not keepable(caches):
        return TOGETHER
    size: int = sum(
        array.shape[1] * array.shape[3] * array.itemsize * BLOCK
        for leaf in leaves(caches)
        if by_columns(leaf)
        for array in (leaf.keys, leaf.values)
    )
    return max(TOGETHER, min(MOST_TOGETHER, limit // PART // max(1, size)))
