"""Blocks of long prompts that are on disk and not in memory: threads read them into memory that is made here, on
MLX's thread, which takes them in in their order, a little in each step. A prompt waits for its blocks while they come.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from ...ahead import Ahead, at_once
from ...chain import BLOCK, Chain
from ...layers import arrays
from ...prefix_cache import PrefixCache
from ...read_or_compute import Coming
from ..cache_layout import Layout
from .block_reader import BlockReader, Found, Wanted
from .block_run import BlockRun
from .file_reading import Reading
from .run_memory import RunMemory
from .staging_buffer import StagingBuffer

_BESIDE = 0.0015  # seconds a step where others decode, of all prompts together, and what one array takes
_ALONE = 0.01
_STUCK_SECONDS = 10.0


class ReadBack:
    """`tokens` counts those that came from the disk. `in_place` as in RunMemory. `rate`: how many tokens of a prompt
    this device computes in a second. `ahead` begins what has come."""

    def __init__(
        self,
        kept: PrefixCache,
        reader: BlockReader,
        layout: Layout,
        *,
        in_place: bool = True,
        rate: Callable[[], float] = lambda: 0.0,
        ahead: Ahead = at_once,
    ) -> None:
        self._kept = kept
        self._rate = rate
        self._ahead = ahead
        self._full = False  # there was no memory for what came
        self._reader = reader
        self._layout = layout
        self._memory = RunMemory(layout, ahead, in_place=in_place)
        self._readings: dict[int, Reading] = {}
        self._stuck: list[Future[object]] = []
        self._hurried = self._decoding = False
        self._room: int | None = None
        self._spent = 0.0  # seconds in this step
        self._steps = 0
        self._slow: set[int] = set()  # requests whose rest is computed, for that is sooner
        self.tokens = 0

    @property
    def reading(self) -> bool:
        return bool(self._readings)

    @property
    def in_place(self) -> bool:
        return self._memory.in_place

    @property
    def leaving(self) -> bool:
        """Whether memory of prompts that do not wait any more is to be let go, as soon as nobody fills it; of a disk
        that does not answer not for ever."""
        return self._memory.leaving(_STUCK_SECONDS)

    @property
    def nbytes(self) -> int:
        """Of memory for what has not come yet."""
        return self._coming + self._memory.nbytes

    @property
    def _coming(self) -> int:
        runs = [run for one in self._readings.values() for run in one.runs]
        return sum(run.landing.nbytes for run in (*runs, *self._memory.left))

    def forget(self, number: int) -> None:
        """Nothing is wanted any more for this request."""
        self._slow.discard(number)
        self._end_reading(number)

    def _end_reading(self, number: int) -> None:
        """The prompt of this request does not wait any more."""
        reading = self._readings.pop(number, None)
        if reading is not None:
            for future in reading.futures:
                future.cancel()
            self._memory.leave(reading.runs)

    def limit(self, room: int) -> None:
        """Those who run leave so many bytes for what is kept and for what comes."""
        self._room = room

    def after_step(self, *, decoding: bool) -> None:
        """`decoding`: others wait for the next one."""
        self._steps += 1
        self._spent = 0.0
        self._decoding = decoding
        if not (decoding or self._readings):
            self._memory.clear()

    def wait(self, seconds: float) -> None:
        """Until something has come, or for so long; not at all where there is more to do here."""
        if not self._hurried:
            self._reader.wait(seconds)
        self._hurried = False

    def goes_on(self, number: int) -> bool | None:
        """Take what has come of the prompt of this request. Whether more is to come; None where it was not begun."""
        reading = self._readings.get(number)
        if reading is None:
            return None
        try:
            if self._advance(reading) and not self._full:
                return True
        except (RuntimeError, MemoryError):  # no memory for what comes
            pass
        self._full = False
        self._end_reading(number)
        return False

    def begin(self, number: int, chain: Chain, length: int, start: int = 0) -> bool:
        """Look for more of the first `length` tokens of this request's prompt, which goes on from `start` as it is.
        False where less than a block is missing that it can do without: to look for that takes longer than to compute
        it."""
        turns = self._kept.whole_turns
        depth = start // BLOCK if turns else self._kept.depth(chain, length)
        wanted = Wanted(
            names=tuple(chain.names(length)[depth:]),
            tokens=tuple(chain.tokens[depth * BLOCK : length]),
            parent=chain.parent(depth),
            needs_ends=self._kept.needs_snapshots,
            start=depth * BLOCK,
        )
        if not (wanted.names or (wanted.needs_ends and not turns)):
            return False
        self._readings[number] = Reading(number, chain, wanted, self._reader.find(wanted))
        return True

    def gave_up(self, number: int) -> bool:
        """Whether the rest of this request's prompt is left on disk, for it is computed sooner; told once."""
        gave_up = number in self._slow
        self._slow.discard(number)
        return gave_up

    @property
    def stuck(self) -> bool:
        """Whether the disk has not answered for so long that nobody waits for it any more."""
        self._stuck = [future for future in self._stuck if not future.done()]
        return bool(self._stuck)

    def close(self) -> None:
        self._reader.close()

    def _advance(self, reading: Reading) -> bool:
        """Whether more is to come."""
        if reading.found is not None:
            if not reading.found.done():
                return self._is_patient(reading)
            found = reading.found.result()
            if found and any(found[0].name in one.names for one in self._readings.values()):
                reading.moved = time.monotonic()  # the other one is waited for, and brings these
                return True
            self._take_over(reading, found)
        began = time.perf_counter()
        until = began + (_BESIDE if self._decoding else _ALONE) - self._spent
        try:
            while time.perf_counter() < until:
                if not (self._begin(reading) or self._take(reading)):
                    break
                if reading.found is not None:
                    return True
                if not (reading.runs or reading.left):
                    return False
            else:
                self._hurried = True
                return True
        finally:
            self._spent += time.perf_counter() - began
        over = reading.runs[0].over if reading.runs else not reading.left
        return not over and self._is_patient(reading)

    def _is_kept(self, found: Found) -> bool:
        block = self._kept.block(found.name)
        return block is not None and (block.snapshots is not None or not found.tensors)

    def _take_over(self, reading: Reading, found: tuple[Found, ...]) -> None:
        """What was found is to be read, but for what another one has brought meanwhile."""
        reading.found = None
        reading.coming = Coming(time.monotonic())
        reading.left.extend(found)
        while reading.left and self._is_kept(reading.left[0]):
            reading.start += reading.left.popleft().tokens
        reading.names = frozenset(one.name for one in reading.left)

    def _begin(self, reading: Reading) -> bool:
        """A little of what comes before a run is read; whether there was anything to do."""
        run = reading.runs[-1] if reading.runs else None
        if run is None or run.files:
            if len(reading.runs) == self._memory.most_runs or not reading.left:
                return False
            found = self._next(reading)
            if not found:
                return False
            reading.runs.append(BlockRun(found, self._memory.landing(found)))
            return True
        return run.prepare(self._reader, self._steps, decoding=self._decoding)

    def _next(self, reading: Reading) -> list[Found]:
        """Those that come together, as many as there is memory for; where nothing else takes it and it is not even for
        one, the rest is not read."""
        room = self._kept.limit if self._room is None else min(self._kept.limit, self._room)
        held = self._coming
        most = self._memory.together(reading.left[0], room - held)
        if not most:
            if not held:
                reading.left.clear()
            return []
        found = [reading.left.popleft()]
        while len(found) < most and reading.left and reading.left[0].tokens == found[0].tokens == BLOCK:
            found.append(reading.left.popleft())
        return found

    def _take(self, reading: Reading) -> bool:
        """A little of what has come; whether there was anything."""
        run = reading.runs[0] if reading.runs else None
        if run is None or not run.files or run.over:
            return False
        done = run.arrived
        if done > reading.done:
            reading.done, reading.moved = done, time.monotonic()
        if not run.take():
            return False
        return self._end(reading, run) if run.complete else True

    def _end(self, reading: Reading, run: BlockRun) -> bool:
        """Keep what has come of a run."""
        whole = not run.restored or self._keep(reading, run)
        if run.broken and self._kept.whole_turns:
            self._find_shorter(reading, run.found[0].tokens)
            return True
        if run.broken or not whole:
            reading.left.clear()
            run.over = True
            return False
        reading.runs.popleft()
        reading.done = 0
        brought = sum(one.tokens for one in run.found)
        size = sum(one.nbytes for one in self._layout.columns(BLOCK))
        reading.coming.note(brought, brought * size // BLOCK, decoding=self._decoding)
        anywhere = reading.left and not self._kept.needs_snapshots  # else what has come may be of no use
        if anywhere and reading.coming.too_slow(time.monotonic(), self._rate()):
            reading.left.clear()
            self._slow.add(reading.number)
        return True

    def _find_shorter(self, reading: Reading, tokens: int) -> None:
        """A state is not what it should be; one after fewer tokens may be."""
        reading.wanted = replace(reading.wanted, tokens=reading.wanted.tokens[: tokens - 1])
        reading.found = self._reader.find(reading.wanted)
        reading.runs.clear()
        reading.done, reading.moved = 0, time.monotonic()

    def _is_patient(self, reading: Reading) -> bool:
        if time.monotonic() - reading.moved < _STUCK_SECONDS:
            return True
        self._stuck += reading.futures
        return False

    def _keep(self, reading: Reading, run: BlockRun) -> bool:
        """Take in what is ready, whole neighbours in one piece of memory. Whether all of it is kept."""
        parts = run.parts()
        computed, whole = arrays(parts), True
        for place, one in enumerate(run.restored):
            stop = reading.start + run.found[place].tokens
            snapshots = one.snapshots(run.landing.states())
            if run.found[place].tensors:
                self._kept.add_state(reading.chain, reading.start, stop, snapshots or ())
            else:
                self._kept.add(reading.chain, reading.start, stop, parts, snapshots, place=place * BLOCK, stored=True)
            if not (whole := self._is_kept(run.found[place])):
                break
            computed += arrays((), snapshots or ())
            self.tokens += stop - reading.start
            reading.start = stop
        filled = None if run.broken else run.landing.buffer  # else threads may still write into it
        self._ahead(computed + run.landing.watched(), partial(self._begun, filled))
        return whole

    def _begun(self, buffer: StagingBuffer | None, began: float, seconds: float, error: Exception | None) -> None:
        """What has come is being computed, or there was no memory for it."""
        self._full = self._full or error is not None
        if buffer is not None and error is None:
            self._memory.give_back(buffer)
