"""The groups of prompts under way: those that take turns on the device, and those that wait for rows of the batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from ....protocol import Reading
from ...device import out_of_memory
from ..dispatch import Dispatch
from ..sequence import Sequence
from .pace import SHORT_SECONDS, Pace, Share
from .prefill import Chunk, Prefill
from .turns import PASSES, Turns

READING_SECONDS = 0.3


@dataclass(frozen=True)
class Piece:
    """So many layers of a chunk on the device, launched in this step of the engine, by the clock at `begun`. `short`:
    of prompts that are short."""

    prefill: Prefill
    chunk: Chunk
    layers: int
    step: int
    begun: float
    short: bool


class Prefills:
    """At most one piece of a chunk is on the device at a time. `dispatch` begins it: where that is evaluating another
    graph, ahead of the next one, and when the piece is over is told by the tokens of that one. `failed` is called with
    the requests of a group that memory has run out for, once the group is gone. `blocking`: on this device most of a
    piece is computed when its launch returns. `tokens` counts what was begun of all prompts."""

    def __init__(
        self,
        pace: Pace,
        failed: Callable[[set[int]], None],
        dispatch: Dispatch,
        clock: Callable[[], float] = time.monotonic,
        *,
        blocking: bool = False,
    ) -> None:
        self._pace = pace
        self._failed = failed
        self._dispatch = dispatch
        self._turns: Turns[Prefill] = Turns()
        self._ending: list[Prefill] = []  # whose last piece is not known to be dispatched
        self._complete: list[Prefill] = []
        self._piece: Piece | None = None
        self.blocking = blocking
        self._held = 0
        self._clock = clock
        self._told: dict[int, int] = {}
        self._told_at = float("-inf")
        self.tokens = 0

    def __iter__(self) -> Iterator[Prefill]:
        yield from [*self._turns, *self._ending, *self._complete]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def complete(self) -> list[Prefill]:
        return list(self._complete)

    @property
    def shortest(self) -> Prefill | None:
        """Of those that take turns, the one with the least left to do."""
        return min(self._turns, key=lambda prefill: prefill.remaining, default=None)

    @property
    def occupied(self) -> tuple[tuple[int, int], ...]:
        """Rows and tokens of each group's caches, as the ledger counts them."""
        return tuple((len(prefill.requests), prefill.total) for prefill in self)

    def sequences(self) -> list[Sequence]:
        """Those that are still wanted and in no batch yet."""
        return [sequence for prefill in self for _, sequence in prefill.members()]

    def add(self, prefill: Prefill) -> None:
        if prefill.complete:
            self._complete.append(prefill)
        else:
            self._turns.add(prefill)

    def drop(self, prefill: Prefill) -> None:
        prefill.release()
        if prefill in self._turns:
            self._turns.remove(prefill)
        else:
            (self._complete if prefill in self._complete else self._ending).remove(prefill)
        if self._piece is not None and self._piece.prefill is prefill:
            self._piece = None

    def drop_abandoned(self) -> list[Prefill]:
        """Gives those that are dropped. But a chunk that is begun is computed to its end where it is kept: whoever asks
        again goes on from there."""
        dropped = [one for one in self if one.abandoned and (one.chunk is None or one.recording is None)]
        for prefill in dropped:
            self._dispatch.settle()
            prefill.leave_off()
            self.drop(prefill)
        return dropped

    def leave(self, prefill: Prefill) -> None:
        """All sequences of a complete one have joined the batch. A piece of it may still be waited for."""
        self._complete.remove(prefill)

    def news(self) -> list[Reading]:
        """How far the prompts are that are still read, where that has changed; READING_SECONDS after the last news at
        the soonest."""
        if not self._turns or self._clock() - self._told_at < READING_SECONDS:
            return []
        told = {
            sequence.ask: min(prefill.computed, prefill.requests[row].length)
            for prefill in self._turns
            for row, sequence in prefill.members()
        }
        found = [
            Reading(id=number, tokens=tokens) for number, tokens in told.items() if self._told.get(number) != tokens
        ]
        self._told = told
        if found:
            self._told_at = self._clock()
        return found

    # on the device

    def advance(self, budget: int, step: int, *, decoding: bool, awaited: bool = False) -> Share:
        """Compute a piece of the chunk of the group whose turn it is, in this step of the engine, before its launch;
        gives what the step has of prompts. `awaited`: nothing that takes long, for first tokens are about to come;
        PASSES times in a row at the most."""
        before = self._piece
        share = Share(budget=budget, longer=before is not None and not before.short, beside=before is not None)
        if before is not None and any(self._turns):
            if self._dispatch.under_way:
                return share
            self.settle(int(decoding))
        brief = {one: self.brief(one, budget, decoding=decoding) for one in self._turns}
        awaited = decoding and awaited and self._held < PASSES
        self._held = self._held + 1 if awaited else 0
        owed = decoding and self._pace.owed
        prefill = self._turns.next(lambda one: brief[one] or not (awaited or (owed and not self._short(one))))
        if prefill is None:
            return share
        short = brief[prefill] or self._short(prefill)
        began = time.monotonic()  # before MLX is told: its CPU backend returns when most is computed
        try:
            chunk, layers = prefill.chunk or self._begin_chunk(prefill, budget, brief=brief[prefill]), 0
            if chunk.width:
                seconds = self._pace.piece(decoding=decoding, short=short and self.blocking)
                most = budget if decoding else chunk.tokens
                layers = min(prefill.left, chunk.count if brief[prefill] else chunk.layers(seconds, most))
            arrays = prefill.take(layers) if layers else []
        except (MemoryError, RuntimeError) as error:
            self._fail(prefill, error)
            return share
        self._piece = Piece(prefill, chunk, layers, step, began, short)
        if prefill.complete:
            self._turns.remove(prefill)
            self._ending.append(prefill)
        if arrays:
            late = self._dispatch.under_way
            self._dispatch.ahead(arrays, partial(self._begun, self._piece, late=late))
        if self.blocking:
            self.settle(0)
        tokens = chunk.tokens * layers // max(1, chunk.count)
        return replace(share, tokens=tokens, longer=share.longer or not short, beside=True)

    def _begin_chunk(self, prefill: Prefill, budget: int, *, brief: bool) -> Chunk:
        longest = min(self._pace.whole, budget * len(prefill.caches))
        chunk = prefill.begin_chunk(budget if brief else max(budget, longest))
        behind = prefill.done > prefill.start  # where attention takes longer than in the first chunk
        expected = prefill.allowance.seconds(chunk.width) if behind else self._expected(prefill, chunk.width)
        chunk.each = expected / max(1, chunk.count - 1)
        self.tokens += chunk.tokens
        return chunk

    def _begun(self, piece: Piece, began: float, seconds: float, error: Exception | None, *, late: bool) -> None:
        """It is dispatched, which began at that time; or memory has run out for it. `late`: another graph was on its
        way when it was made."""
        prefill = piece.prefill
        if prefill not in list(self):  # it was given up meanwhile
            if error is not None and not out_of_memory(error):
                raise error
            return
        if error is not None:
            self._fail(prefill, error)
            return
        if late and self._piece is piece:
            self._piece = replace(piece, begun=began)
        if prefill in self._ending:
            self._ending.remove(prefill)
            self._complete.append(prefill)
            prefill.release()

    def brief(self, prefill: Prefill, budget: int, *, decoding: bool) -> bool:
        """Whether all that is left of it is read at once, for it takes little of a step that has such a budget."""
        width = prefill.last_width(budget)
        longest = self._pace.brief(decoding=decoding, several=len(prefill.requests) > 1)
        return width is not None and self._expected(prefill, width) <= longest

    def _short(self, prefill: Prefill) -> bool:
        """Whether its prompts take SHORT_SECONDS each at the most: those who decode give way to them."""
        return self._expected(prefill, prefill.total - prefill.done) <= SHORT_SECONDS * len(prefill.requests)

    def _expected(self, prefill: Prefill, width: int) -> float:
        """Seconds of a chunk that has so many tokens a row."""
        return min(prefill.allowance.seconds(width), self._pace.timings.seconds(width * len(prefill.requests)))

    def settle_before(self, launched_at: int, *, decoding: bool) -> None:
        """A decode step that was launched in that step of the engine is done: with it what was begun before it."""
        if self._piece is None or launched_at < self._piece.step:
            return
        launches = (launched_at - self._piece.step + 1) * decoding
        if self._dispatch.under_way:
            self._end(self._piece, launches)
        else:
            self.settle(launches)

    def settle(self, launches: int) -> None:
        """Wait for the piece on the device, if there is one, and learn how long it took; up to so many decode steps ran
        meanwhile."""
        self._dispatch.settle()
        if self._piece is None:
            return
        piece, self._piece = self._piece, None
        try:
            piece.prefill.wait()
        except (MemoryError, RuntimeError) as error:
            self._fail(piece.prefill, error)
            return
        self._end(piece, launches)

    def _end(self, piece: Piece, launches: int) -> None:
        """It is over."""
        self._piece, prefill, chunk = None, piece.prefill, piece.chunk
        seconds = self._pace.without_decoding(time.monotonic() - piece.begun, launches)
        prefill.note(chunk, piece.layers, seconds)
        if chunk.over and chunk.width:
            tokens = chunk.width * len(prefill.requests)
            self._pace.timings.note(tokens, chunk.seconds)
            if chunk.width == prefill.done - prefill.start:  # what the next newcomer may take
                self._pace.fresh.note(tokens, chunk.seconds)

    def rest(self) -> None:
        """Nothing runs any more: nobody waits for what is on the device."""
        self._piece = None

    def _fail(self, prefill: Prefill, error: Exception) -> None:
        """Memory that runs out ends this group and nobody else. Raises the error where it is another one, or where
        rows of the group have joined the batch already: nobody knows what state the device is in."""
        if prefill not in list(self) or not out_of_memory(error):
            raise error
        self.drop(prefill)
        self._failed({sequence.ask for _, sequence in prefill.members()})
