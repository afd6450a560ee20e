"""The worker for models that generate text: admit, prefill in turns, decode together."""

from __future__ import annotations

import time
from dataclasses import dataclass

import mlx.core as mx

from ...protocol import Accepted, Ask, Counted, Delta, Detokenized, Event, Gauges, Rejected, TokenLogprob
from ..device import backend, bound_pool, out_of_memory
from ..grammar.answer_form import bound_by
from ..model.load import LanguageModel
from ..prompt.prompt_process import Prompting, Ready
from ..prompt.render import Prepared
from ..shares import divide
from ..vision.viewing import Views
from .batch import Batch, Launch
from .choices import Choices
from .draw import choice, resolve
from .ledger import CacheLedger, Occupancy
from .pace import AIM, LONGEST_SECONDS, Pace
from .pipelining import Pipelining
from .prefill import Chunk, Prefill
from .scheduler import Scheduler
from .scores import Scores
from .sequence import Sequence
from .turns import Turns

PIPELINE_BYTES = {"cuda": 4 << 30, "metal": 128 << 20, "cpu": 8 << 20}


@dataclass(frozen=True)
class Limits:
    """`max_batch` sequences decode at once; `tokens_per_step` of prefill beside decoding; `memory` bytes for caches."""

    max_batch: int
    tokens_per_step: int
    memory: int | None = None


class Generator:
    """What `prompts` has done comes back through the mailbox, by `receive`.

    Decoding is pipelined where that is faster (`pipelining`): step t+1 is launched before step t's tokens are read, so
    the device never waits for Python. Else a step is launched right after the last one's tokens are in, and only the
    text work overlaps the device.
    """

    def __init__(self, model: LanguageModel, limits: Limits, prompts: Prompting) -> None:
        self._model = model
        self._ledger = CacheLedger(limits.memory, model.costs)
        self._scheduler: Scheduler[Choices] = Scheduler(limits.max_batch, self._ledger)
        self._prompts = prompts
        self._views = Views(model.network if model.sight else None, LONGEST_SECONDS * AIM, limits.memory)
        self._batch = Batch(model)
        self._turns: Turns[Prefill] = Turns()
        self._complete: list[Prefill] = []
        self._chunk: Chunk | None = None
        self._launch: Launch | None = None
        self._launched_at = 0
        self._events: list[Event] = []
        self._unfinished: dict[int, int] = {}
        self._pace = Pace(limits.tokens_per_step, int(model.prefill_rate * LONGEST_SECONDS * AIM))
        self.pipelining = Pipelining(PIPELINE_BYTES[backend()])
        self._steps = self._prompt_tokens = self._generated = 0

    # what comes in

    def admit(self, ask: Ask) -> None:
        self._prompts.put(ask)

    def receive(self, result: Ready | Counted | Detokenized | Rejected) -> None:
        if not self._prompts.claim(result.id):
            return
        if isinstance(result, Ready):
            self._queue(result.id, result.prepared)
        else:
            self._events.append(result)

    def _queue(self, number: int, prepared: Prepared) -> None:
        request, model = prepared.request, self._model
        tokens = len(prepared.tokens)
        if request.render_only:
            self._events.append(
                Accepted(
                    id=number,
                    prompt_tokens=tokens,
                    truncated=prepared.truncated,
                    rendered=prepared.rendered,
                    last=True,
                )
            )
            return
        if self._scheduler.never_fits(tokens, self._views.needed(prepared.pictures)):
            message = f"a prompt of {tokens} tokens needs more cache memory than there is"
            self._events.append(Rejected(id=number, code="insufficient_memory", message=message))
            return
        draw = resolve(request.sampling, model.defaults, request.fallback, model.rows, request.logprobs)
        sequences = [Sequence(number, index, prepared, choice(draw, index), model) for index in range(request.choices)]
        self._unfinished[number] = len(sequences)
        self._views.admit(number, prepared.pictures)
        self._events.append(Accepted(id=number, prompt_tokens=tokens, truncated=prepared.truncated))
        scores = None
        if request.echo and request.logprobs is not None:
            scores = Scores(prepared.tokens, request.logprobs)
        elif request.echo:
            self._echo(sequences)
        if prepared.room > 0 or scores is not None:
            self._scheduler.add(Choices(sequences, scores))
            return
        for sequence in sequences:
            sequence.reason = "length"
            self._finish(sequence)

    def _echo(self, sequences: list[Sequence], logprobs: tuple[TokenLogprob, ...] = ()) -> None:
        text = sequences[0].prompt
        self._events += [
            Delta(id=sequence.ask, choice=sequence.choice, text=text, logprobs=logprobs) for sequence in sequences
        ]

    def cancel(self, number: int) -> None:
        if self._prompts.cancel(number):
            return
        self._unfinished.pop(number, None)
        self._views.dismiss(number)
        self._scheduler.remove(number)
        for sequence in self._running():
            if sequence.ask == number:
                sequence.reason = sequence.reason or "stop"

    def _running(self) -> list[Sequence]:
        """Every sequence past the queue."""
        prefilling = [sequence for prefill in self._prefills() for _, sequence in prefill.members()]
        return [*self._batch.sequences, *prefilling]

    def _prefills(self) -> list[Prefill]:
        return [*self._turns, *self._complete]

    # one step

    @property
    def idle(self) -> bool:
        return not (self._batch.sequences or self._launch or self._prefills() or len(self._scheduler))

    def step(self) -> None:
        if self.idle:
            return
        before, launched_at = self._launch, self._launched_at
        began, prefilled = time.monotonic(), self._prompt_tokens
        decoding, budget = len(self._batch), self._pace.budget(len(self._batch))
        if before is not None and not self.pipelining.early(len(self._batch), self._batch.nbytes):
            self._note_stops(before)
        self._leave()
        self._join()
        self._launch, self._launched_at = (self._batch.launch(before) if len(self._batch) else None), self._steps
        self._continue_prefill(budget)
        if before is not None:
            self._process(before)
            if self._chunk is not None and launched_at > self._chunk.step:
                self._settle_chunk(launched_at - self._chunk.step + 1)
        seconds = time.monotonic() - began
        same = before is not None and self._launch is not None and before.sequences == self._launch.sequences
        self.pipelining.note(seconds, plain=same and prefilled == self._prompt_tokens and self._chunk is None)
        self._pace.note_step(
            seconds,
            decoding=decoding,
            prefilled=self._prompt_tokens - prefilled,
            budget=budget,
        )
        self._steps += 1
        if self.idle:
            self._chunk = None

    def _note_stops(self, launch: Launch) -> None:
        """See before the next launch who ends with the token just drawn, so that no step is spent on them."""
        launch.follow()
        for sequence, token in zip(launch.sequences, launch.read(), strict=True):
            ended = sequence.constraint is not None and sequence.constraint.ended
            if ended or (token in self._model.stop_tokens and not sequence.request.ignore_eos):
                sequence.stopping = True

    # leaving the batch

    def _leave(self) -> None:
        self._leave_ended()
        self._ledger.held = self._views.held
        while self._scheduler.must_yield(Occupancy(self._batch.lengths, self._prefilling)):
            if not self._forget_pictures():
                self._free_memory()

    def _forget_pictures(self) -> bool:
        """Features that nobody needs now make room; whether there were any."""
        found = self._views.clear()
        self._ledger.held = self._views.held
        return found

    def _leave_ended(self) -> None:
        for sequence in list(self._batch.sequences):
            if sequence.reason is not None or sequence.stopping or sequence.exhausted:
                self._batch.leave(sequence)

    def _free_memory(self) -> None:
        """The caches have outgrown their memory: the newest prefill, or else the newest sequence, waits again and
        begins anew later; a sequence that is alone ends here. First the step under way is read, which may end some and
        is part of what the newest takes along."""
        if self._prefills():
            self._put_back(self._prefills()[-1])
            return
        if self._launch is not None:
            self._process(self._launch)
            self._launch = None
            self._leave_ended()
            return
        newest = max(self._batch.sequences, key=lambda sequence: sequence.arrived)
        self._batch.leave(newest)
        newest.launched = newest.generated
        if self._batch.sequences:
            self._scheduler.put_back(Choices([newest]))
            return
        rest = newest.cut()
        if rest is not None:
            self._events.append(rest)
        self._finish(newest)

    def _put_back(self, prefill: Prefill) -> None:
        self._drop(prefill)
        for choices in reversed(prefill.requests):
            choices.waiting[:] = [sequence for sequence in choices.waiting if sequence.reason is None]
            if choices.waiting:
                self._scheduler.put_back(choices)

    def _drop(self, prefill: Prefill) -> None:
        prefill.release()
        if prefill in self._complete:
            self._complete.remove(prefill)
        else:
            self._turns.remove(prefill)
        if self._chunk is not None and self._chunk.prefill is prefill:
            self._chunk = None

    @property
    def _prefilling(self) -> tuple[tuple[int, int], ...]:
        """The caches of prompts, as the ledger counts them."""
        return tuple((len(prefill.requests), prefill.total) for prefill in self._prefills())

    # joining it

    def _join(self) -> None:
        for prefill in self._prefills():
            if prefill.abandoned:
                self._drop(prefill)
        self._begin_prefills()
        for prefill in list(self._complete):
            self._tell_scores(prefill)
            for row, sequence in list(prefill.members()):
                if not self._scheduler.may_join(sequence.length, Occupancy(self._batch.lengths, self._prefilling)):
                    break
                self._batch.join(sequence, prefill.caches, row, prefill.shift)
                prefill.requests[row].waiting.remove(sequence)
            if prefill.abandoned:
                self._complete.remove(prefill)

    def _tell_scores(self, prefill: Prefill) -> None:
        """What the prompts' own tokens came to, before the first token of any answer; a request that wants no answer
        ends with it."""
        if any(request.scores is not None for request in prefill.requests) and self._chunk is not None:
            self._settle_chunk(1)
        for request in prefill.requests if prefill in self._complete else ():
            wanted = [sequence for sequence in request.waiting if sequence.reason is None]
            if request.scores is None or not wanted:
                continue
            self._echo(wanted, request.scores.read(self._model.vocabulary))
            request.scores = None
            for sequence in wanted:
                if sequence.room < 1:
                    sequence.reason = "length"
                    self._finish(sequence)

    def _begin_prefills(self) -> None:
        """The next ones in the queue, when nothing is being prefilled. While a long prompt is, those begin that will be
        through before it; the others wait for a group, in which they cost less."""
        budget = self._pace.budget(len(self._batch))
        while True:
            shortest = min(self._turns, key=lambda prefill: prefill.remaining, default=None)
            if shortest is not None and shortest.chunks(budget) <= 1:
                return
            coming = [sequence.length + 1 for prefill in self._prefills() for _, sequence in prefill.members()]
            group = self._scheduler.next_group(
                Occupancy(self._batch.lengths, self._prefilling).and_rows(coming),
                min(budget, self._pace.fresh.tokens),
                padded=self._model.paddable,
                alone=not self._model.batchable,
                below=None if shortest is None else shortest.total - shortest.done,
            )
            if not group:
                if len(self._scheduler) and self._forget_pictures():
                    continue
                return
            now = time.monotonic()
            for request in group:
                for sequence in request.waiting:
                    sequence.admitted = sequence.admitted or now
            view = self._views.view(group[0].pictures, group[0].length)
            prefill = Prefill(self._model, group, self._pace.fresh.tokens, view)
            if prefill.complete:
                self._complete.append(prefill)
            else:
                self._turns.add(prefill)

    # prefill

    def _continue_prefill(self, budget: int) -> None:
        if self._chunk is not None and any(self._turns):
            self._settle_chunk(1)
        prefill = self._turns.next()
        if prefill is None:
            return
        try:
            self._chunk = prefill.begin_chunk(budget, self._steps)
        except (MemoryError, RuntimeError) as error:
            self._fail_prefill(prefill, error)
            return
        self._prompt_tokens += self._chunk.tokens
        if prefill.complete:
            self._turns.remove(prefill)
            self._complete.append(prefill)

    def _settle_chunk(self, launches: int) -> None:
        """Wait for the chunk on the device, so that no two are, and learn how long it took; up to so many decode steps
        ran meanwhile."""
        assert self._chunk is not None
        chunk, self._chunk = self._chunk, None
        try:
            chunk.prefill.wait()
        except (MemoryError, RuntimeError) as error:
            self._fail_prefill(chunk.prefill, error)
            return
        seconds = self._pace.without_decoding(time.monotonic() - chunk.begun, launches if len(self._batch) else 0)
        chunk.prefill.note(chunk, seconds)
        if 0 < chunk.width == chunk.prefill.done:  # its first: what the next newcomer may take
            self._pace.fresh.note(chunk.width * len(chunk.prefill.requests), seconds)

    def _fail_prefill(self, prefill: Prefill, error: Exception) -> None:
        """Memory that runs out ends this group and nobody else. Raises the error where it is another one, or where
        rows of the group have joined the batch already: nobody knows what state the device is in."""
        if prefill not in self._prefills() or not out_of_memory(error):
            raise error
        self._drop(prefill)
        message = "the memory of this machine does not hold what this prompt needs; send a shorter one"
        for number in {sequence.ask for _, sequence in prefill.members()}:
            self._events.append(Rejected(id=number, code="insufficient_memory", message=message))
            self.cancel(number)

    # what comes out

    def _process(self, launch: Launch) -> None:
        """Take a step's tokens into their sequences, once, and its text into the outbox."""
        if launch.taken:
            return
        launch.taken = True
        launch.follow()
        tokens = launch.read()
        logprobs = launch.logprobs(self._model.vocabulary)
        for row, (sequence, token) in enumerate(zip(launch.sequences, tokens, strict=True)):
            if sequence.reason is not None:
                continue
            if token < 0:
                message = "the model computed values that are not numbers"
                self._reject(sequence, Rejected(id=sequence.ask, code="numerical_error", message=message))
                continue
            if sequence.constraint is not None and sequence.constraint.problem is not None:
                self._reject(sequence, _unfollowed(sequence, sequence.constraint.problem))
                continue
            self._generated += 1
            try:
                delta = sequence.accept(token, logprobs.get(row))
            except Exception as error:  # of one text; the others are well
                message = f"the answer's text could not be read ({type(error).__name__})"
                self._reject(sequence, Rejected(id=sequence.ask, code="internal_error", message=message))
                continue
            if delta is not None:
                self._events.append(delta)
            if sequence.reason is not None:
                self._finish(sequence)

    def _finish(self, sequence: Sequence) -> None:
        left = self._unfinished[sequence.ask] - 1
        if left:
            self._unfinished[sequence.ask] = left
        else:
            del self._unfinished[sequence.ask]
            self._views.dismiss(sequence.ask)
        self._events.append(sequence.finished(last=not left))

    def _reject(self, sequence: Sequence, rejected: Rejected) -> None:
        """The whole request ends, with this sequence's siblings."""
        sequence.reason = "stop"
        self._events.append(rejected)
        self.cancel(sequence.ask)

    def drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def audit(self) -> str | None:
        counts = {
            "rows": len(self._batch),
            "cache bytes": self._batch.nbytes,
            "prefills": len(self._prefills()),
            "waiting": len(self._scheduler),
            "unfinished": len(self._unfinished) if not self._prompts.busy else 0,
        }
        left = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
        return f"nothing runs, and yet there are: {left}" if left else None

    def gauges(self) -> Gauges:
        return Gauges(
            running=len(self._batch),
            waiting=len(self._scheduler) + self._prompts.busy,
            prefilling=sum(prefill.rows for prefill in self._prefills()),
            active_memory=mx.get_active_memory(),
            cache_memory=mx.get_cache_memory(),
            peak_memory=mx.get_peak_memory(),
            prompt_tokens=self._prompt_tokens,
            generated_tokens=self._generated,
            steps=self._steps,
            longest_step=self._pace.longest,
        )

    def limit(self, memory: int, *, tight: bool) -> None:
        division = divide(memory, self._model.weight_bytes, tight=tight)
        bound_pool(division)
        self._ledger.memory = division.caches
        self._views.limit(division.caches)


def _unfollowed(sequence: Sequence, problem: str) -> Rejected:
    """The grammar of an answer has reached its limits in the middle of it."""
    param = bound_by(sequence.request)
    message = f"the answer could not be kept to what '{param}' asks for ({problem}); make it simpler"
    return Rejected(id=sequence.ask, code="invalid_request", message=message, param=param)
