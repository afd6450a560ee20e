"""The worker for models that generate text: admit, prefill in turns, decode together."""

from __future__ import annotations

import time
from functools import partial

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from ...protocol import Ask, Counted, Detokenized, Event, Gauges, Rejected
from ...protocol import Reuse as ReuseSort
from ..cpu.threads import use_all_cores
from ..device import backend, bound_memory, bound_pool
from ..model.load import LanguageModel
from ..prefix.layers import by_columns, leaves
from ..prefix.whole_state import copies_work
from ..prompt.prompt_process import Prompting, Ready
from ..shapes import Shapes
from ..shares import divide
from ..vision.viewing import Views
from .admission.arrivals import Arrivals
from .admission.gathering import Gathering
from .admission.joining import Joining
from .admission.leaving import Leaving
from .admission.preemption import Preemption
from .admission.prefill_admission import PrefillAdmission
from .answers import Answers
from .batch import Batch, Launch
from .choices import Choices
from .dispatch import Dispatch
from .engine_limits import Limits
from .memory.cache_memory import CacheMemory
from .memory.ledger import CacheLedger
from .pipelining import Pipelining
from .prefilling.pace import AIM, LONGEST_SECONDS, Pace, Share, Timings
from .prefilling.prefills import Prefills
from .prompts_on_disk import Disk
from .reuse import Reuse
from .scheduler import Scheduler

DISK_SECONDS = 0.02  # how long nobody looks into the mailbox while all wait for the disk
PIPELINE_BYTES = {"cuda": 4 << 30, "metal": 128 << 20, "cpu": 8 << 20}


class Generator:
    """What `prompts` has done comes back through the mailbox, by `receive`.

    Decoding is pipelined where that is faster (`pipelining`): step t+1 is launched before step t's tokens are read, so
    the device never waits for Python. Else a step is launched right after the last one's tokens are in, and only the
    text work overlaps the device.
    """

    def __init__(
        self,
        model: LanguageModel,
        limits: Limits,
        prompts: Prompting,
        disk: Disk | None = None,
        timings: Timings | None = None,
        dispatch: Dispatch | None = None,
    ) -> None:
        """`timings`: what chunks of prompts took before, where that is known. `dispatch`: by whom steps are handed to
        the device, where the model's caches allow it."""
        self._model = model
        ledger = CacheLedger(limits.memory, model.costs)
        self._scheduler: Scheduler[Choices] = Scheduler(limits.max_batch, ledger)
        self._prompts = prompts
        self._views = Views(model.network if model.sight else None, LONGEST_SECONDS * AIM, limits.memory)
        shapes = Shapes(few=backend() == "cuda")
        empty = make_prompt_cache(model.network)
        columns_only = model.batchable and all(by_columns(leaf) for leaf in leaves(empty))
        self._dispatch = dispatch if dispatch is not None and columns_only else Dispatch()
        self._batch = Batch(model, shapes, self._dispatch)
        self._builds_only = model.batchable and model.costs.paged and model.sight is None
        copied = partial(copies_work, model.network)
        self._launch: Launch | None = None
        self._launched_at = 0
        self._answers = Answers(model.vocabulary, self._views.dismiss, self.cancel)
        blocking = backend() == "cpu"
        self._pace = Pace(limits.tokens_per_step, model.prefill_rate, len(empty), timings, blocking=blocking)
        self._reuse = Reuse(
            limits.most_prefixes, empty, shapes.grain, disk, copied, lambda: self._pace.rate, self._dispatch
        )
        self._prefills = Prefills(self._pace, self._fail_prompts, self._dispatch, blocking=blocking)
        self._memory = CacheMemory(ledger, self._batch, self._prefills, self._views, self._reuse)
        self._preemption = Preemption(self._scheduler, self._batch, self._prefills, self._reuse, self._answers)
        self._leaving = Leaving(
            self._scheduler,
            self._batch,
            self._reuse,
            self._memory,
            self._preemption,
            self._dispatch,
            self._finish_launch,
        )
        self._admission = PrefillAdmission(
            model,
            shapes,
            self._scheduler,
            self._prefills,
            self._pace,
            self._reuse,
            self._views,
            self._memory,
            self._answers,
        )
        self._joining = Joining(
            self._scheduler, self._prefills, self._batch, self._reuse, self._memory, self._answers, model.vocabulary
        )
        self._gathering = Gathering()
        self._arrivals = Arrivals(model, self._scheduler, self._views, self._answers)
        self.pipelining = Pipelining(PIPELINE_BYTES[backend()])
        self._steps = 0

    # what comes in

    def admit(self, ask: Ask) -> None:
        """From any thread: its prompt is prepared while a step goes on."""
        self._prompts.put(ask)

    def receive(self, result: Ready | Counted | Detokenized | Rejected) -> None:
        if not self._prompts.claim(result.id):
            return
        if not self._overlaps:
            self._dispatch.settle()
        if isinstance(result, Ready):
            self._gathering.came()
            self._arrivals.take(result.id, result.prepared)
        else:
            self._answers.tell(result)

    def cancel(self, number: int) -> None:
        if self._prompts.cancel(number):
            return
        self._dispatch.settle()
        self._answers.forget(number)
        self._views.dismiss(number)
        self._scheduler.remove(number)
        self._reuse.forget(number)
        for sequence in (*self._batch.sequences, *self._prefills.sequences()):
            if sequence.ask == number:
                sequence.reason = sequence.reason or "stop"

    # one step

    @property
    def idle(self) -> bool:
        return self._at_rest and not self._reuse.unwritten

    @property
    def _at_rest(self) -> bool:
        """Nobody waits for a token."""
        return not (self._computing or len(self._scheduler))

    @property
    def _computing(self) -> bool:
        return bool(self._batch.sequences or self._launch or len(self._prefills))

    @property
    def awaited(self) -> float:
        """Seconds that prompts are worth waiting for which are nearly prepared, before the next step; 0: none. Where
        a prompt takes the device its time, and not the launches theirs, one more would hold up those that are there."""
        if self._pace.blocking or self._computing or not len(self._scheduler):
            return 0.0
        coming, waiting = self._prompts.busy, len(self._scheduler)
        left = self._gathering.left(coming)
        if not left:
            return 0.0
        fresh = self._reuse.fresh(self._scheduler)
        return left if self._pace.together(fresh, fresh * coming // waiting) else 0.0

    def step(self) -> None:
        self._gathering.begin()
        if not self._at_rest:
            self._step()
        rest = not self._computing
        if rest:
            self._dispatch.settle()
        self._reuse.write(decoding=len(self._batch) > 0, room=self._memory.room_for_copies, rest=rest)
        if rest:
            self._reuse.wait(DISK_SECONDS)

    @property
    def timings(self) -> Timings:
        """What chunks of prompts took."""
        return self._pace.timings

    @property
    def reuse(self) -> ReuseSort:
        """As in Loaded."""
        return self._reuse.sort

    @property
    def file_bits(self) -> int | None:
        """As in Loaded."""
        return self._reuse.file_bits

    def close(self, seconds: float) -> None:
        """What is to be written to disk is written, within so many seconds; the end."""
        self._dispatch.close()
        self._reuse.close(seconds)

    def _step(self) -> None:
        """Read what was drawn, or after the launch where that is early; then a piece of a prompt, and the launch."""
        steady = self._only_decodes
        if not (steady or self._overlaps):
            self._dispatch.settle()
        before, launched_at = self._launch, self._launched_at
        began = time.monotonic()
        decoding, budget = len(self._batch), self._pace.budget(len(self._batch))
        first = before is not None and any(not sequence.generated for sequence in before.sequences)
        early = before is None or self.pipelining.early(len(self._batch), self._batch.nbytes)
        blocking = self._batch.waits or (first and self._prefills.blocking)
        if before is not None and (blocking or not early):
            before.note_stops()
            if blocking or first:  # tokens wait for no launch
                self._take(before, launched_at)
                return
        self._leaving.leave()
        share = self._read_prompts(budget, awaited=first)
        self._joining.join()
        use_all_cores(not len(self._batch))
        for sequence in self._batch.sequences if self._reuse.grows else ():
            self._reuse.grow(sequence, *self._batch.held(sequence))
        begin_next = steady and early
        batch = self._batch
        self._launch = batch.launch(before, self._answers.take, begin_next=begin_next) if len(batch) else None
        self._launched_at = self._steps
        if self._launch is None:
            self._dispatch.settle()
        if before is not None:
            self._take(before, launched_at)
        seconds = time.monotonic() - began
        same = before is not None and self._launch is not None and before.sequences == self._launch.sequences
        self.pipelining.note(seconds, plain=same and not share.beside)
        self._pace.note_step(seconds, decoding=decoding, share=share)
        self._steps += 1
        if self._at_rest:
            self._prefills.rest()

    @property
    def _overlaps(self) -> bool:
        """Whether this step is built while the one before is dispatched, be it with prompts: rows join and leave pages,
        and no pictures are looked at. What is evaluated for that goes ahead of the step."""
        return self._dispatch.threaded and self._builds_only and len(self._batch) > 0

    @property
    def _only_decodes(self) -> bool:
        """Whether this step computes one more token of the same rows, and nothing else. What follows from tokens that
        it reads itself begins with those that have been dispatched."""
        over = any(one.reason is not None or one.exhausted for one in self._batch.sequences)
        return not (over or len(self._prefills) or len(self._scheduler))

    def _take(self, launch: Launch, launched_at: int) -> None:
        """Tell what a step has drawn."""
        self._answers.take(launch)
        if self._launch is launch:
            self._launch = None
        self._prefills.settle_before(launched_at, decoding=len(self._batch) > 0)

    def _finish_launch(self) -> bool:
        if self._launch is None:
            return False
        self._answers.take(self._launch)
        self._launch = None
        return True

    # prompts

    def _read_prompts(self, budget: int, *, awaited: bool) -> Share:
        """What the step has of prompts. `awaited`: the step under way gives first tokens."""
        for prefill in self._prefills.drop_abandoned():
            self._preemption.note_read(prefill)
        self._admission.begin(len(self._batch))
        use_all_cores(not len(self._batch) or (self._prefills.blocking and len(self._prefills) > 0))
        return self._prefills.advance(budget, self._steps, decoding=len(self._batch) > 0, awaited=awaited)

    def _fail_prompts(self, numbers: set[int]) -> None:
        message = "the memory of this machine does not hold what this prompt needs; send a shorter one"
        self._reuse.clear()  # some of which may never have been computed
        for number in numbers:
            self._answers.tell(Rejected(id=number, code="insufficient_memory", message=message))
            self.cancel(number)

    # what comes out

    def drain(self) -> list[Event]:
        return self._answers.drain(self._prefills.news())

    def audit(self) -> str | None:
        counts = {
            "rows": len(self._batch),
            "cache bytes": self._batch.nbytes,
            "prefills": len(self._prefills),
            "waiting": len(self._scheduler),
            "unfinished": self._answers.unfinished if not self._prompts.busy else 0,
        }
        left = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
        return f"nothing runs, and yet there are: {left}" if left else None

    def gauges(self) -> Gauges:
        return Gauges(
            running=len(self._batch),
            waiting=len(self._scheduler) + self._prompts.busy,
            prefilling=len(self._prefills.sequences()),
            active_memory=mx.get_active_memory(),
            cache_memory=mx.get_cache_memory(),
            peak_memory=mx.get_peak_memory(),
            prompt_tokens=self._prefills.tokens,
            generated_tokens=self._answers.tokens,
            prefix_bytes=self._reuse.nbytes,
            prefix_hits=self._reuse.hits,
            prefix_tokens=self._reuse.saved,
            prefix_evictions=self._reuse.evictions,
            prefix_disk_bytes=self._reuse.disk_bytes,
            prefix_disk_tokens=self._reuse.disk_tokens,
            steps=self._steps,
            longest_step=self._pace.longest,
        )

    def limit(self, memory: int, *, tight: bool) -> None:
        self._dispatch.settle()
        division = divide(memory, self._model.weight_bytes, tight=tight)
        bound_memory(memory)
        bound_pool(division)
        if tight:
            self._reuse.clear()
        self._memory.limit(division.caches)
