"""Which of the waiting requests begin like something that was read before, and what a sequence leaves behind."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import mlx.core as mx

from ..prefix.chain import BLOCK, Chain
from ..prefix.layers import arrays, by_columns, cut, cut_windows, has_window, keepable, leaves, snapshot
from ..prefix.prefix_cache import Match, PrefixCache
from ..prefix.recording import Recording
from .choices import Choices
from .sequence import Sequence as Generated

FORESEEN = 64  # waiting requests that are looked at; those behind them wait
LEAST_GAIN = 64  # tokens that are worth waiting for


class Reuse:
    """`limit` bytes are for what is kept: 0 keeps nothing. `caches`: empty plain ones of the network. Prompts go on
    from multiples of `grain` tokens, where nothing else says where."""

    def __init__(self, limit: int, caches: Sequence[Any], grain: int = 1) -> None:
        needs_snapshots = not all(by_columns(leaf) for leaf in leaves(caches))
        self.kept = PrefixCache(limit, needs_snapshots=needs_snapshots) if limit and keepable(caches) else None
        self._grain = 1 if needs_snapshots else grain
        self._windows = any(has_window(leaf) for leaf in leaves(caches))
        self.hits = self.saved = 0

    @property
    def nbytes(self) -> int:
        return 0 if self.kept is None else self.kept.nbytes

    @property
    def evictions(self) -> int:
        return 0 if self.kept is None else self.kept.evictions

    def limit(self, most: int | None) -> None:
        """What is kept may take so many bytes at the moment."""
        if self.kept is not None and most is not None:
            self.kept.shrink(max(0, most))

    def clear(self) -> None:
        if self.kept is not None:
            self.kept.clear()

    # before a prompt is read

    def look(self, waiting: Iterable[Choices], recordings: Iterable[Recording]) -> None:
        """Set of each waiting request how much of it need not be read, and whether it had better wait: for one that
        is being read, or comes before it, and begins like it for longer than what is kept."""
        queue = list(waiting)
        if self.kept is None or not queue:
            return
        coming: dict[bytes, tuple[Chain, int, Recording | None]] = {}
        for recording in recordings:
            for chain, length in recording.rows.values():
                coming.update(dict.fromkeys(chain.names(length), (chain, length, recording)))
        for place, request in enumerate(queue):
            request.deferred = place >= FORESEEN
            if request.deferred or not request.reusable:
                continue
            self._find(request)
            request.deferred = self._waits(request, coming)
            if not request.deferred:
                names = request.chain.names(request.length - 1)
                coming.update(dict.fromkeys(names, (request.chain, request.length - 1, None)))

    def _waits(self, request: Choices, coming: Mapping[bytes, tuple[Chain, int, Recording | None]]) -> bool:
        """Whether one of those `coming`, by the names of their blocks, begins like this one, and is not past that."""
        names = request.chain.names(request.length - 1)
        place = bisect_left(names, True, key=lambda name: name not in coming)
        if not place:
            return False
        chain, length, recording = coming[names[place - 1]]
        common = request.chain.common(request.length - 1, chain, length)
        if common < request.start + LEAST_GAIN:
            return False
        return recording is None or recording.want(common // self._grain * self._grain)

    def _find(self, request: Choices) -> None:
        assert self.kept is not None
        if request.seen != self.kept.version:
            match = self.kept.find(request.chain, request.length - 1)
            request.match = match.cut(match.length // self._grain * self._grain)
            request.seen = self.kept.version

    def begin(self, group: Sequence[Choices]) -> tuple[list[Match], Recording | None]:
        """What each request of a group need not read, as long for all of them, and who keeps what they read."""
        if self.kept is None:
            return [Match() for _ in group], None
        matches = [request.match for request in group]
        for request, match in zip(group, matches, strict=True):
            self.kept.touch(match)
            if match.length:
                self.hits += 1
                self.saved += match.length
            for sequence in request.waiting:
                sequence.cached = match.length
        chains = [request.chain if request.reusable else None for request in group]
        lengths = [request.length - 1 for request in group]
        return matches, Recording(self.kept, chains, lengths, matches[0].length)

    # in and after an answer

    def grow(self, sequence: Generated, layers: Sequence[Any], row: int) -> None:
        """Before each step of a sequence in row `row` of these caches: keep what windows will have moved past."""
        held = sequence.prompt_tokens + sequence.launched - 1
        if held % BLOCK == 0 and sequence.launched and not sequence.pictures:
            parts = sequence.windows[held // BLOCK - 1] = cut_windows(layers, row, held - BLOCK, held)
            mx.async_eval(arrays(parts))

    @property
    def grows(self) -> bool:
        """Whether `grow` has anything to do."""
        return self._windows and self.kept is not None

    def keep(self, sequence: Generated, layers: Sequence[Any], row: int) -> None:
        """A sequence leaves row `row` of these caches: what it was told and what it said may be asked for again."""
        if self.kept is None or sequence.pictures:
            return
        held = sequence.prompt_tokens + sequence.launched - 1
        length = min(held, sequence.length)
        chain = sequence.chain
        added: list[mx.array] = []
        start = self.kept.depth(chain, length) * BLOCK
        while start < length:
            stop = min(start + BLOCK, length)
            parts = cut(layers, row, start, stop, sequence.windows.get(start // BLOCK))
            if parts is None:
                break
            exact = self.kept.needs_snapshots and stop == length == held
            after = snapshot(layers, row, held) if exact else None
            if after is None and self.kept.needs_snapshots and stop - start < BLOCK:
                break
            block = self.kept.add(chain, start, stop, parts, after)
            added += [] if block is None else block.arrays()
            start = stop
        if added:
            mx.async_eval(added)
