"""The groups of prompts under way: those that take turns on the device, and those that wait for rows of the batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ...protocol import Reading
from ..device import out_of_memory
from .pace import Pace
from .prefill import Chunk, Prefill
from .sequence import Sequence
from .turns import Turns

READING_SECONDS = 0.3


class Prefills:
    """At most one chunk is on the device at a time. `failed` is called with the requests of a group that memory has run
    out for, once the group is gone. `tokens` counts what was begun of all prompts."""

    def __init__(
        self, pace: Pace, failed: Callable[[set[int]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pace = pace
        self._failed = failed
        self._turns: Turns[Prefill] = Turns()
        self._complete: list[Prefill] = []
        self._chunk: Chunk | None = None
        self._clock = clock
        self._told: dict[int, int] = {}
        self._told_at = float("-inf")
        self.tokens = 0

    def __iter__(self) -> Iterator[Prefill]:
        yield from [*self._turns, *self._complete]

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
    def computing(self) -> bool:
        """Whether a chunk is on the device that nobody has waited for."""
        return self._chunk is not None

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
        if prefill in self._complete:
            self._complete.remove(prefill)
        else:
            self._turns.remove(prefill)
        if self._chunk is not None and self._chunk.prefill is prefill:
            self._chunk = None

    def drop_abandoned(self) -> None:
        for prefill in list(self):
            if prefill.abandoned:
                self.drop(prefill)

    def leave(self, prefill: Prefill) -> None:
        """All sequences of a complete one have joined the batch. A chunk of it may still be waited for."""
        self._complete.remove(prefill)

    def news(self) -> list[Reading]:
        """How far the prompts are that are still read, where that has changed; READING_SECONDS after the last news at
        the soonest."""
        if not self._turns or self._clock() - self._told_at < READING_SECONDS:
            return []
        told = {
            sequence.ask: self._computed(prefill, row) for prefill in self._turns for row, sequence in prefill.members()
        }
        found = [
            Reading(id=number, tokens=tokens) for number, tokens in told.items() if self._told.get(number) != tokens
        ]
        self._told = told
        if found:
            self._told_at = self._clock()
        return found

    def _computed(self, prefill: Prefill, row: int) -> int:
        """Tokens of a prompt whose computation was waited for: the others of its group may be longer."""
        under_way = self._chunk.width if self._chunk is not None and self._chunk.prefill is prefill else 0
        return min(prefill.done - under_way, prefill.requests[row].length)

    # on the device

    def begin_chunk(self, budget: int, step: int, *, decoding: bool) -> None:
        """The next chunk of the group whose turn it is, in this step of the engine."""
        if self._chunk is not None and any(self._turns):
            self.settle(int(decoding))
        prefill = self._turns.next()
        if prefill is None:
            return
        try:
            self._chunk = prefill.begin_chunk(budget, step, self._pace.share(decoding))
        except (MemoryError, RuntimeError) as error:
            self._fail(prefill, error)
            return
        self.tokens += self._chunk.tokens
        if prefill.complete:
            self._turns.remove(prefill)
            self._complete.append(prefill)

    def settle_before(self, launched_at: int, *, decoding: bool) -> None:
        """A decode step that was launched at that step of the engine is done: with it what was begun before it."""
        if self._chunk is not None and launched_at > self._chunk.step:
            self.settle((launched_at - self._chunk.step + 1) * decoding)

    def settle(self, launches: int) -> None:
        """Wait for the chunk on the device, if there is one, and learn how long it took; up to so many decode steps ran
        meanwhile."""
        if self._chunk is None:
            return
        chunk, self._chunk = self._chunk, None
        try:
            chunk.prefill.wait()
        except (MemoryError, RuntimeError) as error:
            self._fail(chunk.prefill, error)
            return
        seconds = self._pace.without_decoding(time.monotonic() - chunk.begun, launches)
        chunk.prefill.note(chunk, seconds)
        first = 0 < chunk.width == chunk.prefill.done - chunk.prefill.start
        if first and (chunk.share == 1.0 or chunk.prefill.complete):  # what the next newcomer may take
            self._pace.fresh.note(chunk.width * len(chunk.prefill.requests), seconds)

    def rest(self) -> None:
        """Nothing runs any more: nobody waits for what is on the device."""
        self._chunk = None

    def _fail(self, prefill: Prefill, error: Exception) -> None:
        """Memory that runs out ends this group and nobody else. Raises the error where it is another one, or where
        rows of the group have joined the batch already: nobody knows what state the device is in."""
        if prefill not in list(self) or not out_of_memory(error):
            raise error
        self.drop(prefill)
        self._failed({sequence.ask for _, sequence in prefill.members()})
