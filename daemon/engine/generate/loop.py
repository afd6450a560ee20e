"""The engine: inbox, admit, step, outbox. One thread, the only one that touches MLX."""

from __future__ import annotations

import time
from typing import Any

import mlx.core as mx

from ...protocol import (
    Accepted,
    Cancel,
    Count,
    Counted,
    Delta,
    Event,
    Fatal,
    Gauges,
    Generate,
    Ping,
    Pong,
    Quit,
    Rejected,
    Step,
)
from ..device import backend
from ..mailbox import Mailbox
from ..model.load import LanguageModel
from ..prompt.render import Prompts
from ..prompt.thread import Desk, Ready
from .batch import Batch, Launch
from .draw import resolve
from .pace import Pace
from .prefill import Prefill
from .scheduler import Limits, Scheduler
from .sequence import Sequence

PIPELINE_BYTES = {"cuda": 4 << 30, "metal": 128 << 20, "cpu": 8 << 20}
BEAT_SECONDS = 1.0


class Quitting(Exception):
    """The parent asked the child to end."""


class Engine:
    """Serves one model until the parent says Quit.

    Decoding is pipelined where that pays: step t+1 is launched before step t's tokens are read, so the device never
    waits for Python. MLX cannot update a cache in place while an earlier step still reads it, it copies: so with caches
    past `pipeline_bytes` a step is launched right after the last one's tokens are in, and only the text work overlaps
    the device.
    """

    def __init__(self, model: LanguageModel, limits: Limits, mailbox: Mailbox) -> None:
        self._model = model
        self._mailbox = mailbox
        self._scheduler: Scheduler[Sequence] = Scheduler(limits)
        self._desk = Desk(Prompts(model), mailbox.queue.put)
        self._batch = Batch(model)
        self._prefill: Prefill | None = None
        self._launch: Launch | None = None
        self._events: list[Event] = []
        self._pace = Pace()
        self.pipeline_bytes = PIPELINE_BYTES[backend()]
        self._steps = self._prompt_tokens = self._generated = 0
        self._beat = time.monotonic()
        self._told_idle = True

    def run(self) -> None:
        """Returns when the parent says Quit."""
        try:
            while True:
                self._take_inbox()
                self._step()
                self._send_outbox()
        except Quitting:
            return

    # inbox

    def _take_inbox(self) -> None:
        for message in self._mailbox.drain(wait=self._idle):
            self._take(message)
        if self._desk.stuck:
            self._mailbox.send(Fatal(message="a chat template or a prompt took too long to prepare"))
            raise Quitting

    @property
    def _idle(self) -> bool:
        return not (self._batch.sequences or self._launch or self._prefill or len(self._scheduler))

    def _take(self, message: Any) -> None:
        match message:
            case Generate() | Count():
                self._desk.put(message)
            case Ready():
                if self._desk.claim(message.prepared.request.id):
                    self._admit(message)
            case Counted() | Rejected():
                if self._desk.claim(message.id):
                    self._events.append(message)
            case Cancel():
                self._cancel(message.id)
            case Ping():
                self._mailbox.send(Pong(id=message.id, gauges=self._gauges()))
            case Quit():
                raise Quitting

    def _admit(self, ready: Ready) -> None:
        prepared = ready.prepared
        request = prepared.request
        if request.render_only:
            self._events.append(
                Accepted(
                    id=request.id,
                    prompt_tokens=len(prepared.tokens),
                    truncated=prepared.truncated,
                    rendered=prepared.rendered,
                )
            )
            return
        if self._scheduler.never_fits(len(prepared.tokens)):
            self._events.append(
                Rejected(
                    id=request.id,
                    code="insufficient_memory",
                    message=f"a prompt of {len(prepared.tokens)} tokens needs more cache memory than there is",
                )
            )
            return
        draw = resolve(request.sampling, self._model.defaults, request.fallback, self._model.rows, request.logprobs)
        sequence = Sequence(prepared, draw, self._model)
        self._events.append(Accepted(id=request.id, prompt_tokens=sequence.prompt_tokens, truncated=prepared.truncated))
        if request.echo:
            text = prepared.rendered or self._model.vocabulary.decode(prepared.tokens)
            self._events.append(Delta(id=request.id, text=text))
        if sequence.room == 0:
            sequence.reason = "length"
            self._events.append(sequence.finished())
            return
        self._scheduler.add(sequence)

    def _cancel(self, request_id: int) -> None:
        if self._desk.cancel(request_id) or self._scheduler.remove(request_id) is not None:
            return
        if self._prefill is not None:
            self._prefill.drop(request_id)
        for sequence in self._batch.sequences:
            if sequence.id == request_id:
                sequence.reason = "stop"

    # one step

    def _step(self) -> None:
        before, began, budget, prefilled = self._launch, time.monotonic(), self._budget, self._prompt_tokens
        try:
            if before is not None and not self._pipelined:
                self._note_stops(before)
            self._leave()
            self._join()
            self._launch = self._batch.launch() if len(self._batch) else None
            self._continue_prefill()
            if before is not None:
                self._process(before)
                tokens = self._prompt_tokens - prefilled
                self._pace.note(time.monotonic() - began, prefilled=tokens, budget=budget)
            self._steps += 1
        except Exception as error:
            self._fail(error)

    @property
    def _pipelined(self) -> bool:
        return self._batch.nbytes < self.pipeline_bytes

    def _note_stops(self, launch: Launch) -> None:
        """See before the next launch who has just drawn a stop token, so that no step is spent on them."""
        for sequence, token in zip(launch.sequences, launch.read(), strict=True):
            if token in self._model.stop_tokens and not sequence.request.ignore_eos:
                sequence.stopping = True

    def _leave(self) -> None:
        self._leave_ended()
        while self._scheduler.must_yield(len(self._batch), self._batch.longest):
            self._yield_newest()

    def _leave_ended(self) -> None:
        for sequence in list(self._batch.sequences):
            if sequence.reason is not None or sequence.stopping or sequence.exhausted:
                self._batch.leave(sequence)

    def _yield_newest(self) -> None:
        """The caches have outgrown their memory: the newest sequence waits again, and is prefilled anew later. First
        the step under way is read, which may end some and is part of what the newest takes along."""
        if self._launch is not None:
            self._process(self._launch)
            self._launch = None
            self._leave_ended()
            return
        newest = max(self._batch.sequences, key=lambda sequence: sequence.arrived)
        self._batch.leave(newest)
        newest.launched = newest.generated
        self._scheduler.put_back(newest)

    def _join(self) -> None:
        prefill = self._prefill
        if prefill is None:
            self._prefill = prefill = self._begin_prefill()
        if prefill is None or not prefill.complete:
            return
        for row, sequence in prefill.members():
            self._batch.join(sequence, prefill.caches, row)
        self._prefill = None

    def _begin_prefill(self) -> Prefill | None:
        budget = self._budget
        group = self._scheduler.next_group(
            len(self._batch), self._batch.longest, budget, padded=self._model.paddable, alone=not self._model.batchable
        )
        if not group:
            return None
        now = time.monotonic()
        for sequence in group:
            sequence.admitted = sequence.admitted or now
        return Prefill(self._model, group)

    @property
    def _budget(self) -> int:
        return self._scheduler.budget(len(self._batch), self._pace.stretch)

    def _continue_prefill(self) -> None:
        if self._prefill is not None:
            if self._prefill.abandoned:
                self._prefill = None
            else:
                self._prompt_tokens += self._prefill.step(self._budget)

    def _process(self, launch: Launch) -> None:
        """Take a step's tokens into their sequences, once, and its text into the outbox."""
        if launch.taken:
            return
        launch.taken = True
        tokens = launch.read()
        logprobs = launch.logprobs(self._model.vocabulary)
        for row, (sequence, token) in enumerate(zip(launch.sequences, tokens, strict=True)):
            if sequence.reason is not None:
                continue
            if token < 0:
                sequence.reason = "stop"
                self._events.append(
                    Rejected(
                        id=sequence.id, code="numerical_error", message="the model computed values that are not numbers"
                    )
                )
                continue
            self._generated += 1
            delta = sequence.accept(token, logprobs.get(row))
            if delta is not None:
                self._events.append(delta)
            if sequence.reason is not None:
                self._events.append(sequence.finished())

    def _fail(self, error: Exception) -> None:
        """A step went wrong: nobody knows what state the device is in, so the requests fail and the child goes."""
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        self._send_outbox()
        self._mailbox.send(Fatal(message=f"the engine failed in a step ({reason})"))
        raise Quitting from error

    # outbox

    def _send_outbox(self) -> None:
        now = time.monotonic()
        rested = self._idle and not self._told_idle
        if self._events or rested or now - self._beat > BEAT_SECONDS:
            self._told_idle = self._idle
            self._mailbox.send(Step(events=tuple(self._events), gauges=self._gauges()))
            self._events.clear()
            self._beat = now

    def _gauges(self) -> Gauges:
        return Gauges(
            running=len(self._batch),
            waiting=len(self._scheduler) + self._desk.busy,
            prefilling=len(self._prefill.sequences) if self._prefill else 0,
            active_memory=mx.get_active_memory(),
            peak_memory=mx.get_peak_memory(),
            prompt_tokens=self._prompt_tokens,
            generated_tokens=self._generated,
            steps=self._steps,
        )
