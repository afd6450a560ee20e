"""Prompts that are read become rows of the batch."""

from __future__ import annotations

from ...output.detokenize import Vocabulary
from ..answers import Answers
from ..batch import Batch
from ..choices import Choices
from ..memory.cache_memory import CacheMemory
from ..prefilling.prefill import Prefill
from ..prefilling.prefills import Prefills
from ..reuse import Reuse
from ..scheduler import Scheduler


class Joining:
    """Takes sequences whose prompts are complete into the batch, in their order, as far as there is room."""

    def __init__(
        self,
        scheduler: Scheduler[Choices],
        prefills: Prefills,
        batch: Batch,
        reuse: Reuse,
        memory: CacheMemory,
        answers: Answers,
        vocabulary: Vocabulary,
    ) -> None:
        self._scheduler = scheduler
        self._prefills = prefills
        self._batch = batch
        self._reuse = reuse
        self._memory = memory
        self._answers = answers
        self._vocabulary = vocabulary

    def join(self) -> None:
        """Those who find a place now."""
        for prefill in self._prefills.complete:
            self._tell_scores(prefill)
            joining, occupancy = [], self._memory.occupancy
            for row, sequence in prefill.members():
                if not self._scheduler.may_join(sequence.length, occupancy):
                    break
                occupancy = occupancy.and_rows([sequence.length])
                joining.append((row, sequence))
            if joining:
                self._batch.join(prefill.caches, joining, prefill.shift, prefill.alike)
            for row, sequence in joining:
                if not sequence.choice:  # the others have the same prompt
                    self._reuse.note_read(sequence, sequence.length)
                prefill.requests[row].waiting.remove(sequence)
            if prefill.abandoned and prefill in self._prefills.complete:
                self._prefills.leave(prefill)

    def _tell_scores(self, prefill: Prefill) -> None:
        """What the prompts' own tokens came to, before the first token of any answer; a request that wants no answer
        ends with it."""
        if any(request.scores is not None for request in prefill.requests):
            self._prefills.settle(int(len(self._batch) > 0))
        for request in prefill.requests if prefill in self._prefills.complete else ():
            wanted = [sequence for sequence in request.waiting if sequence.reason is None]
            if request.scores is None or not wanted:
                continue
            self._answers.echo(wanted, request.scores.read(self._vocabulary))
            request.scores = None
            for sequence in wanted:
                if sequence.room < 1:
                    sequence.reason = "length"
                    self._answers.finish(sequence)
