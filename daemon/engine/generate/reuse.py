"""Which of the waiting requests begin like something that was read before, and what a sequence leaves behind."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import mlx.core as mx

from ...protocol import Reuse as Sort
from ..device import kept_buffers
from ..prefix.chain import BLOCK, Chain
from ..prefix.layers import (
    arrays,
    by_columns,
    cut,
    cut_windows,
    has_window,
    keepable,
    leaves,
    snapshot,
)
from ..prefix.match import Match
from ..prefix.prefix_cache import PrefixCache
from ..prefix.recording import TOGETHER, Recording
from .choices import Choices
from .dispatch import Dispatch
from .prompts_on_disk import Disk, PromptsOnDisk
from .rereading import LEAST_GAIN, Rereading
from .sequence import Sequence as Generated

FORESEEN = 64  # waiting requests that are looked at; those behind them wait
NEARBY = 16  # tokens that are read again so that prompts can be read together


class Reuse:
    """`limit` bytes are for what is kept: 0 keeps nothing, in memory or on `disk`. `caches`: empty plain ones of the
    network; `copied` says whether copies of them as a whole may stand for them, and is asked where they cannot be cut.
    Prompts go on from multiples of `grain` tokens, where nothing else says where; where that is more than one, on a
    device that takes long to begin an operation, the end of a prompt is kept with its answer. `sort` as in Loaded.
    What is kept is begun to be computed by `dispatch`; whatever else is evaluated here waits for it."""

    def __init__(
        self,
        limit: int,
        caches: Sequence[Any],
        grain: int = 1,
        disk: Disk | None = None,
        copied: Callable[[], bool] = lambda: False,
        rate: Callable[[], float] = lambda: 0.0,
        dispatch: Dispatch | None = None,
    ) -> None:
        self._dispatch = dispatch or Dispatch()
        known = keepable(caches)
        turns = not known and bool(limit) and copied()
        needs_snapshots = turns or not all(by_columns(leaf) for leaf in leaves(caches))
        self.kept: PrefixCache | None = None
        if limit and (known or turns):
            begin = self._dispatch.begin
            self.kept = PrefixCache(
                limit,
                needs_snapshots=needs_snapshots,
                whole_turns=turns,
                begin=begin,
                buffers=kept_buffers(),
            )
        self.sort: Sort = "some" if needs_snapshots else "any"
        if not known:
            self.sort = "turns" if turns else "unknown"
        elif not limit:
            self.sort = "off"
        self._grain = 1 if needs_snapshots else grain
        self._windows = known and any(has_window(leaf) for leaf in leaves(caches))
        self.hits = self.saved = 0
        self._rereading = Rereading(self.kept, self.sort, self._grain)
        self._files: PromptsOnDisk | None = None
        if disk is not None and self.kept is not None:
            self._files = PromptsOnDisk(disk, self.kept, self._dispatch, rate)

    @property
    def nbytes(self) -> int:
        return 0 if self.kept is None else self.kept.nbytes

    @property
    def evictions(self) -> int:
        return 0 if self.kept is None else self.kept.evictions

    @property
    def disk_bytes(self) -> int:
        """Of this model's files."""
        return 0 if self._files is None else self._files.nbytes

    @property
    def file_bits(self) -> int | None:
        """As in Loaded."""
        return None if self._files is None else self._files.bits

    @property
    def disk_tokens(self) -> int:
        """Tokens that were read back from files."""
        return 0 if self._files is None else self._files.tokens

    @property
    def copied(self) -> int:
        """Bytes of memory that hold what is to be written, or will."""
        return 0 if self._files is None else self._files.copied

    def limit(self, most: int | None) -> None:
        """What is kept, with what comes from files, may take so many bytes at the moment."""
        if self.kept is not None and most is not None:
            coming = 0 if self._files is None else self._files.limit(most)
            self.kept.shrink(max(0, most - coming))

    def clear(self) -> None:
        self._dispatch.settle()
        if self.kept is not None:
            self.kept.clear()
        if self._files is not None:
            self._files.drop()

    def forget(self, number: int) -> None:
        """Nobody waits any more for what is read from files for this request."""
        if self._files is not None:
            self._files.forget(number)

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
            request.deferred = self._waits(request, coming) or (
                self._files is not None and self._files.comes(request, self._find)
            )
            if not request.deferred:
                names = request.chain.names(request.length - 1)
                coming.update(dict.fromkeys(names, (request.chain, request.length - 1, None)))

    def fresh(self, waiting: Iterable[Choices]) -> int:
        """How many tokens of these are to be read."""
        total = 0
        for place, request in enumerate(waiting):
            if self.kept is not None and place < FORESEEN and request.reusable:
                self._find(request)
            total += request.length - request.start
        return total

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
            request.match = self._longest(request, self.kept)
            request.seen = self.kept.version
            anywhere = not self.kept.needs_snapshots
            request.earliest = max(0, request.start - NEARBY) if anywhere else request.start

    def _longest(self, request: Choices, kept: PrefixCache) -> Match:
        """The longest beginning that it can go on from, and may be parted after."""
        length = request.length - 1
        while True:
            match = kept.find(request.chain, length)
            length = request.before(match.length, self._grain)
            if length == match.length or not kept.needs_snapshots:
                return match.cut(length)

    def begin(self, group: Sequence[Choices]) -> tuple[list[Match], Recording | None]:
        """What each request of a group need not read, as long for all of them, and who keeps what they read. Says of
        each why it is not more."""
        start = min(request.start for request in group)
        for request in group:
            if request.start > start:
                request.match, request.seen = request.match.cut(start), -1
            slow = self._files is not None and self._files.gave_up(request.id)
            request.reread = self._rereading.why(request, slow=slow)
        if self.kept is None:
            return [Match() for _ in group], None
        matches = [request.match for request in group]
        for request, match in zip(group, matches, strict=True):
            self.kept.touch(match)
            if self._files is not None:
                self._files.touch(match.blocks)
            new = [sequence for sequence in request.waiting if sequence.admitted is None]
            if match.length and new:
                self.hits += 1
                self.saved += match.length
            for sequence in new:  # the others come back, and find what they have said themselves
                sequence.cached = match.length
        chains = [request.chain if request.reusable else None for request in group]
        lengths = [request.length - 1 for request in group]
        places = group[0].places.before
        return matches, Recording(self.kept, chains, lengths, matches[0].length, places, ends=self._grain == 1)

    def note_read(self, sequence: Generated, tokens: int) -> None:
        """So many tokens of it were read, and no more will be for now."""
        self._rereading.remember(sequence, sequence.chain, tokens)

    # in and after an answer

    def grow(self, sequence: Generated, layers: Sequence[Any], row: int) -> None:
        """Before each step of a sequence in row `row` of these caches: keep what windows will have moved past."""
        held = sequence.prompt_tokens + sequence.launched - 1
        if held % BLOCK == 0 and sequence.launched:
            parts = sequence.windows[held // BLOCK - 1] = cut_windows(layers, row, held - BLOCK, held)
            self._dispatch.begin(arrays(parts))

    @property
    def grows(self) -> bool:
        """Whether `grow` has anything to do."""
        return self._windows and self.kept is not None

    def keep(self, sequence: Generated, layers: Sequence[Any], row: int) -> None:
        """A sequence leaves row `row` of these caches: what it was told and what it said may be asked for again."""
        held = sequence.prompt_tokens + sequence.launched - 1
        chain, whole = sequence.chain, sequence.length
        if held > whole and sequence.ended_by is not None:  # which a step begun before it was read has taken in
            chain, whole = chain.followed_by(sequence.ended_by), whole + 1
        length = min(held, whole)
        self._rereading.remember(sequence, chain, length)
        if self.kept is None:
            return
        added: list[mx.array] = []
        start = self.kept.depth(chain, length) * BLOCK
        at_once = BLOCK if self.kept.needs_snapshots or self._windows else TOGETHER * BLOCK
        while start < length:
            stop = min(start + at_once, length)
            parts = cut(layers, row, start, stop, sequence.windows.get(start // BLOCK))
            if parts is None:
                break
            exact = self.kept.needs_snapshots and stop == length == held
            after = snapshot(layers, row, held) if exact else None
            if after is None and self.kept.needs_snapshots and stop - start < BLOCK:
                break
            new = self.kept.add_run(chain, start, stop, parts, after)
            if new:
                added += arrays(parts, after or ())
            if self._files is not None:
                for block, end in new:
                    self._files.note(block, chain, end)
            start = stop
        if added:
            self._dispatch.begin(added)

    # to the disk, and from it

    @property
    def unwritten(self) -> bool:
        """Whether `write` has something to do, or memory for files is to be let go."""
        return self._files is not None and self._files.unwritten

    def write(self, *, decoding: bool, room: int | None, rest: bool) -> None:
        """After each step: a little of what is to be written. `decoding`: others wait for the next token; `rest`:
        nobody computes anything. Copies take no more than `room` bytes."""
        if self._files is not None:
            self._files.write(decoding=decoding, room=room, rest=rest)

    def wait(self, seconds: float) -> None:
        """Nothing is computed: until the disk has come on, or for so long; at once where nothing waits for it."""
        if self._files is not None:
            self._files.wait(seconds)

    def close(self, seconds: float) -> None:
        """Write what is left, within so many seconds."""
        if self._files is not None:
            self._files.close(seconds)
