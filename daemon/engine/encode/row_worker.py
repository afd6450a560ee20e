"""The worker for models that give one result a row: embedding models and rerankers.

A step waits for the batch on the device; the next one launches a batch of whatever rows have come meanwhile, and then,
while it runs, takes the results of the last one apart. So one batch is on the device at a time and no request waits for
a window of time. A large request is tokenized in parts and computed in turns with the others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx
import msgspec
import numpy as np
from numpy.typing import NDArray

from ...protocol import Ask, Count, Counted, Detokenize, Detokenized, Event, Gauges, Rejected, Started
from ..device import bound_memory, bound_pool, out_of_memory
from ..generate.prefilling.pace import AIM, LONGEST_SECONDS, Allowance
from ..generate.prefilling.turns import Turns
from ..prompt.prompt_process import PromptProcess, Ready
from ..prompt.refused import Refused
from ..shapes import Shapes
from ..shares import divide
from ..texts.row import Row
from .packing import Budget, pack
from .row_job import RowJob

MOST_TOKENS = 16384
PARTS_AHEAD = 2


class Task(Protocol):
    """What one loaded model does with rows. `rate`: about how many tokens a second this device takes. `shapes`: those
    that its batches are made up to."""

    weight_bytes: int
    token_bytes: int
    pair_bytes: int
    rate: float
    shapes: Shapes

    def parts(self, work: Any) -> Iterator[Any]:
        """The work in pieces that are tokenized at a time, in their order."""

    def count_rows(self, work: Any) -> int:
        """0 for work of another kind."""

    def check(self, work: Any) -> None:
        """Raises Refused, for what can be seen before there are tokens."""

    def head(self, rows: list[Row], budget: int) -> tuple[list[Any], int]:
        """Work that comes before these rows may run, on a head that they share or on the beginning of a long one, at
        most so many tokens, lazily: arrays to compute and tokens that they take; none when all is done."""

    def compute(self, rows: list[Row]) -> mx.array:
        """(rows, width) results, float32, lazily."""

    def event(self, job: RowJob) -> Event:
        """What a job that is complete has come to."""


@dataclass
class Flight:
    """What is on the device for these rows: their results, or, where `results` is None, the heads that come before."""

    rows: list[Row]
    arrays: list[Any]
    results: mx.array | None
    tokens: int
    launched: float


class RowWorker:
    """What the prompt process has done comes back by way of the mailbox, to `receive`. `memory`: bytes for weights and
    everything else, None for no limit."""

    def __init__(self, task: Task, memory: int | None, prompts: PromptProcess) -> None:
        self._task = task
        self._prompts = prompts
        self._jobs: dict[int, RowJob] = {}
        self._turns: Turns[RowJob] = Turns()
        self._parts: dict[int, int] = {}
        self._unread: dict[int, Iterator[Any]] = {}
        self._part_ids = 0
        self._flight: Flight | None = None
        self._landed: Flight | None = None
        self._events: list[Event] = []
        self._allowance = Allowance(int(task.rate * LONGEST_SECONDS * AIM))
        self._memory = None if memory is None else divide(memory, task.weight_bytes).caches
        self._steps = self._tokens = 0
        self._longest = 0.0

    # what comes in

    def admit(self, ask: Ask) -> None:
        if isinstance(ask.work, Count | Detokenize):
            self._part_ids += 1
            self._parts[self._part_ids] = ask.id
            self._prompts.put(Ask(id=self._part_ids, work=ask.work))
            return
        rows = self._task.count_rows(ask.work)
        if not rows:
            message = "this model does no work of that kind, or there is nothing to do"
            self._events.append(Rejected(id=ask.id, code="unsupported", message=message))
            return
        try:
            self._task.check(ask.work)
        except Refused as refused:
            self._events.append(refused.rejected(ask.id))
            return
        job = self._jobs[ask.id] = RowJob(ask.id, ask.work, rows)
        self._unread[ask.id] = self._task.parts(ask.work)
        for _ in range(PARTS_AHEAD):
            self._put_part(job)

    def _put_part(self, job: RowJob) -> None:
        part = next(self._unread[job.number], None)
        if part is None:
            return
        self._part_ids += 1
        self._parts[self._part_ids] = job.number
        self._prompts.put(Ask(id=self._part_ids, work=part))

    def receive(self, result: Ready | Counted | Detokenized | Rejected) -> None:
        number = self._parts.pop(result.id, None)
        if number is None or not self._prompts.claim(result.id):
            return  # cancelled meanwhile
        if isinstance(result, Counted | Detokenized):
            self._events.append(msgspec.structs.replace(result, id=number))
            return
        if isinstance(result, Rejected):
            self._reject(number, result)
            return
        job = self._jobs[number]
        rows: list[Row] = result.prepared
        if not job.waiting and rows:
            self._turns.add(job)
        job.add(rows)
        self._put_part(job)

    def cancel(self, number: int) -> None:
        for part in [part for part, owner in self._parts.items() if owner == number]:
            del self._parts[part]
            self._prompts.cancel(part)
        self._forget(number)

    def _reject(self, number: int, rejected: Rejected) -> None:
        """The whole request ends."""
        self._events.append(Rejected(id=number, code=rejected.code, message=rejected.message, param=rejected.param))
        self.cancel(number)

    def _forget(self, number: int) -> None:
        self._unread.pop(number, None)
        job = self._jobs.pop(number, None)
        if job is None:
            return
        job.over = True
        job.caches = None
        if job.waiting:
            self._turns.remove(job)
            job.waiting = []

    # one step

    @property
    def awaited(self) -> float:
        return 0.0

    @property
    def idle(self) -> bool:
        return self._flight is None and self._landed is None and not len(self._turns)

    def audit(self) -> str | None:
        left = len(self._jobs) and not self._prompts.busy
        return f"{len(self._jobs)} requests are left over, and nobody works on them" if left else None

    def step(self) -> None:
        if self._flight is not None:
            self._land(self._flight)
            return
        landed, self._landed = self._landed, None
        self._launch()
        if landed is not None:
            self._take_apart(landed)

    def _land(self, flight: Flight) -> None:
        """Wait for the device. The loop looks into its inbox before the next batch is made up."""
        self._flight = None
        try:
            mx.eval(flight.arrays)
        except (MemoryError, RuntimeError) as error:
            self._fail(flight.rows, error)
            return
        seconds = time.monotonic() - flight.launched
        self._allowance.note(flight.tokens, seconds)
        self._longest = max(seconds, 0.9 * self._longest)
        self._landed = flight

    def _launch(self) -> None:
        job = self._turns.next()
        if job is None:
            return
        rows = pack(job, self._turns, self._budget())
        try:
            flight = self._begin(rows)
            mx.async_eval(flight.arrays)
        except (MemoryError, RuntimeError) as error:
            self._fail(rows, error)
            return
        self._flight = flight
        self._steps += 1
        self._tokens += flight.tokens
        for one in dict.fromkeys(row.job for row in flight.rows):
            if not one.told:
                one.told = True
                self._events.append(Started(id=one.number))
        if flight.results is None:
            return
        taken: dict[RowJob, list[Row]] = {}
        for row in flight.rows:
            taken.setdefault(row.job, []).append(row)
        for owner, own in taken.items():
            owner.take(own)
            if not owner.waiting:
                self._turns.remove(owner)

    def _begin(self, rows: list[Row]) -> Flight:
        launched = time.monotonic()
        arrays, tokens = self._task.head(rows, self._allowance.tokens)
        if arrays:
            return Flight(rows, arrays, None, tokens, launched)
        results = self._task.compute(rows)
        return Flight(rows, [results], results, len(rows) * max(row.length for row in rows) + tokens, launched)

    def _fail(self, rows: list[Row], error: Exception) -> None:
        """Memory that runs out is the fault of these rows; nobody knows what else may be."""
        if not out_of_memory(error):
            raise error
        message = "the memory of this machine does not hold what this input needs; send fewer or shorter texts"
        for job in {row.job for row in rows}:
            if not job.over:
                self._reject(job.number, Rejected(id=job.number, code="insufficient_memory", message=message))

    # what comes out

    def _take_apart(self, flight: Flight) -> None:
        if flight.results is None:
            return
        values: NDArray[np.float32] = np.array(flight.results, copy=False)
        finite = np.logical_and.reduce(np.isfinite(values), axis=1)
        for row, own, well in zip(flight.rows, values, finite, strict=True):
            job: RowJob = row.job
            if job.over:
                continue
            if not well:
                message = f"the model computed values that are not numbers for input {row.place}"
                self._reject(job.number, Rejected(id=job.number, code="numerical_error", message=message))
                continue
            job.note(row, own)
            if not job.left:
                self._events.append(self._task.event(job))
                self._forget(job.number)

    def drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def gauges(self) -> Gauges:
        running = len(self._flight.rows) if self._flight is not None else 0
        return Gauges(
            running=running,
            waiting=sum(len(job.waiting) for job in self._turns) + self._prompts.busy,
            active_memory=mx.get_active_memory(),
            cache_memory=mx.get_cache_memory(),
            peak_memory=mx.get_peak_memory(),
            prompt_tokens=self._tokens,
            steps=self._steps,
            longest_step=self._longest,
        )

    # memory

    def limit(self, memory: int, *, tight: bool) -> None:
        """So many bytes for the weights and everything else from now on."""
        division = divide(memory, self._task.weight_bytes, tight=tight)
        bound_memory(memory)
        bound_pool(division)
        self._memory = division.caches

    def _budget(self) -> Budget:
        task = self._task
        tokens = min(MOST_TOKENS, self._allowance.tokens)
        return Budget(tokens, self._memory, task.token_bytes, task.pair_bytes, task.shapes)
