"""Who waits again where the caches have outgrown their memory: it begins anew later, from what is kept of it."""

from __future__ import annotations

from ..answers import Answers
from ..batch import Batch
from ..choices import Choices
from ..prefilling.prefill import Prefill
from ..prefilling.prefills import Prefills
from ..reuse import Reuse
from ..scheduler import Scheduler


class Preemption:
    """The newest comes first: prompts that are being read, then sequences."""

    def __init__(
        self, scheduler: Scheduler[Choices], batch: Batch, prefills: Prefills, reuse: Reuse, answers: Answers
    ) -> None:
        self._scheduler = scheduler
        self._batch = batch
        self._prefills = prefills
        self._reuse = reuse
        self._answers = answers

    def put_back_prompts(self) -> bool:
        """The prompts that began to be read last, together; False where none is being read."""
        if not len(self._prefills):
            return False
        prefill = list(self._prefills)[-1]
        prefill.leave_off()
        self._prefills.drop(prefill)
        self.note_read(prefill)
        for choices in reversed(prefill.requests):
            choices.waiting[:] = [sequence for sequence in choices.waiting if sequence.reason is None]
            if choices.waiting:
                self._scheduler.put_back(choices)
        return True

    def put_back_sequence(self) -> None:
        """The newest sequence, with what it has said; one that is alone ends here. No step is under way."""
        newest = max(self._batch.sequences, key=lambda sequence: sequence.arrived)
        self._reuse.keep(newest, *self._batch.held(newest))
        self._batch.leave([newest])
        newest.launched = newest.generated
        if self._batch.sequences:
            self._scheduler.put_back(Choices([newest]))
            return
        rest = newest.cut()
        if rest is not None:
            self._answers.tell(rest)
        self._answers.finish(newest)

    def note_read(self, prefill: Prefill) -> None:
        """These prompts are not read any further for now."""
        for request in prefill.requests:
            for sequence in request.waiting[:1]:
                self._reuse.note_read(sequence, min(prefill.done, request.length))
