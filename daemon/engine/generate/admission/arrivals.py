"""Prompts that are prepared become sequences in the queue, or are refused, or end with what was asked."""

from __future__ import annotations

from ....protocol import Accepted, Rejected
from ...model.load import LanguageModel
from ...prompt.prepared import Prepared
from ...vision.viewing import Views
from ..answers import Answers
from ..choices import Choices
from ..sampling.draw import choice, resolve
from ..sampling.scores import Scores
from ..scheduler import Scheduler
from ..sequence import Sequence


class Arrivals:
    """Takes what comes back from the prompt process."""

    def __init__(self, model: LanguageModel, scheduler: Scheduler[Choices], views: Views, answers: Answers) -> None:
        self._model = model
        self._scheduler = scheduler
        self._views = views
        self._answers = answers

    def take(self, number: int, prepared: Prepared) -> None:
        """One of them, with this id; what there is to say of it now is said."""
        request, model = prepared.request, self._model
        tokens = len(prepared.tokens)
        if request.render_only:
            self._answers.tell(
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
            self._answers.tell(Rejected(id=number, code="insufficient_memory", message=message))
            return
        draw = resolve(request.sampling, model.defaults, request.fallback, model.rows, request.logprobs)
        sequences = [Sequence(number, index, prepared, choice(draw, index), model) for index in range(request.choices)]
        self._answers.begin(number, len(sequences))
        self._views.admit(number, prepared.pictures)
        self._answers.tell(Accepted(id=number, prompt_tokens=tokens, truncated=prepared.truncated))
        scores = None
        if request.echo and request.logprobs is not None:
            scores = Scores(prepared.tokens, request.logprobs)
        elif request.echo:
            self._answers.echo(sequences)
        if prepared.room > 0 or scores is not None:
            self._scheduler.add(Choices(sequences, scores))
            return
        for sequence in sequences:
            sequence.reason = "length"
            self._answers.finish(sequence)
