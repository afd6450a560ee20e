"""Which of the requests that wait begin to be read, and with whom."""

from __future__ import annotations

import time

from ....protocol import Started
from ...model.load import LanguageModel
from ...shapes import Shapes
from ...vision.viewing import Views
from ..answers import Answers
from ..choices import Choices
from ..memory.cache_memory import CacheMemory
from ..prefilling.pace import Pace
from ..prefilling.prefill import Prefill
from ..prefilling.prefills import Prefills
from ..reuse import Reuse
from ..scheduler import Scheduler


class PrefillAdmission:
    """Takes requests from the scheduler's queue into `prefills`, in groups where they go on from the same place."""

    def __init__(
        self,
        model: LanguageModel,
        shapes: Shapes,
        scheduler: Scheduler[Choices],
        prefills: Prefills,
        pace: Pace,
        reuse: Reuse,
        views: Views,
        memory: CacheMemory,
        answers: Answers,
    ) -> None:
        self._model = model
        self.shapes = shapes
        self._scheduler = scheduler
        self._prefills = prefills
        self._pace = pace
        self._reuse = reuse
        self._views = views
        self._memory = memory
        self._answers = answers

    def begin(self, decoding: int) -> None:
        """The next ones in the queue, when nothing is being prefilled, beside so many rows that decode. While a long
        prompt is, those begin that will be through before it; the others wait for a group, in which they cost less."""
        budget = self._pace.budget(decoding)
        at_once = self._pace.budget(decoding, several=True)
        while True:
            self._reuse.look(
                self._scheduler,
                [one.recording for one in self._prefills if one.recording is not None and not one.complete],
            )
            shortest = self._prefills.shortest
            if shortest is not None and self._prefills.brief(shortest, budget, decoding=decoding > 0):
                return
            coming = [sequence.length + 1 for sequence in self._prefills.sequences()]
            group = self._scheduler.next_group(
                self._memory.occupancy.and_rows(coming),
                min(budget, self._pace.fresh.tokens),
                together=min(at_once, self._pace.fresh.tokens),
                padded=self._model.paddable,
                alone=not self._model.batchable,
                below=None if shortest is None else shortest.total - shortest.done,
            )
            if group:
                self._take(group, at_once if len(group) > 1 else 0)
            elif all(one.deferred for one in self._scheduler) or not self._memory.forget_pictures():
                return

    def _take(self, group: list[Choices], at_once: int) -> None:
        matches, recording = self._reuse.begin(group)
        now = time.monotonic()
        for request, match in zip(group, matches, strict=True):
            if request.waiting[0].admitted is None:
                self._answers.tell(Started(id=request.id, cached=match.length, reread=request.reread))
            for sequence in request.waiting:
                sequence.admitted = sequence.admitted or now
        view = self._views.view(group[0].pictures, group[0].length, matches[0].length)
        most = self._pace.fresh.tokens
        self._prefills.add(Prefill(self._model, group, most, view, matches, recording, self.shapes, at_once=at_once))
        self._memory.bound_prefixes()
