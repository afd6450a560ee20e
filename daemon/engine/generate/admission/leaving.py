"""Who leaves the batch before a step: those that have ended, and whoever the caches have no memory for any more."""

from __future__ import annotations

from collections.abc import Callable

from ..batch import Batch
from ..choices import Choices
from ..dispatch import Dispatch
from ..memory.cache_memory import CacheMemory
from ..reuse import Reuse
from ..scheduler import Scheduler
from .preemption import Preemption


class Leaving:
    """`finish` reads the step under way; False where there is none."""

    def __init__(
        self,
        scheduler: Scheduler[Choices],
        batch: Batch,
        reuse: Reuse,
        memory: CacheMemory,
        preemption: Preemption,
        dispatch: Dispatch,
        finish: Callable[[], bool],
    ) -> None:
        self._scheduler = scheduler
        self._batch = batch
        self._reuse = reuse
        self._memory = memory
        self._preemption = preemption
        self._dispatch = dispatch
        self._finish = finish

    def leave(self) -> None:
        self._leave_ended()
        self._memory.count()
        while self._scheduler.must_yield(self._memory.occupancy):
            if not self._memory.forget_pictures():
                self._free_memory()
        self._memory.bound_prefixes()

    def _leave_ended(self) -> None:
        ended = [one for one in self._batch.sequences if one.reason is not None or one.stopping or one.exhausted]
        for sequence in ended:
            self._reuse.keep(sequence, *self._batch.held(sequence))
        if len(ended) == len(self._batch):
            self._dispatch.settle()
        if ended:
            self._batch.leave(ended)

    def _free_memory(self) -> None:
        """The caches have outgrown their memory. Before a sequence is put back, the step under way is read, which may
        end some and is part of what the newest takes along."""
        self._dispatch.settle()
        if self._preemption.put_back_prompts():
            return
        if self._finish():
            self._leave_ended()
            return
        self._preemption.put_back_sequence()
