"""What requests are told: that they are taken, the texts of those that run, the end of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...protocol import Delta, Event, Rejected, TokenLogprob
from ..grammar.answer_form import bound_by
from ..output.detokenize import Vocabulary
from .batch import Launch
from .sequence import Sequence


class Answers:
    """`over` is called with the id of a request when all of its sequences have ended, `cancel` when one of them ends
    the whole request. `tokens` counts what was generated."""

    def __init__(self, vocabulary: Vocabulary, over: Callable[[int], None], cancel: Callable[[int], None]) -> None:
        self._vocabulary = vocabulary
        self._over = over
        self._cancel = cancel
        self._events: list[Event] = []
        self._unfinished: dict[int, int] = {}
        self.tokens = 0

    @property
    def unfinished(self) -> int:
        """Requests that were begun and have not ended."""
        return len(self._unfinished)

    def begin(self, number: int, sequences: int) -> None:
        """A request of so many."""
        self._unfinished[number] = sequences

    def forget(self, number: int) -> None:
        """Nobody wants the rest of this request."""
        self._unfinished.pop(number, None)

    def tell(self, event: Event) -> None:
        self._events.append(event)

    def drain(self, more: Iterable[Event] = ()) -> list[Event]:
        """The events since the last call, and these."""
        events, self._events = [*self._events, *more], []
        return events

    def echo(self, sequences: list[Sequence], logprobs: tuple[TokenLogprob, ...] = ()) -> None:
        """The prompt, as the first text of each of its sequences."""
        text = sequences[0].prompt
        self._events += [
            Delta(id=sequence.ask, choice=sequence.choice, text=text, logprobs=logprobs) for sequence in sequences
        ]

    def take(self, launch: Launch) -> None:
        """A step's tokens go into their sequences, once, and the text of it to those who asked."""
        if launch.taken:
            return
        launch.taken = True
        launch.follow()
        tokens = launch.read()
        logprobs = launch.logprobs(self._vocabulary)
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
            self.tokens += 1
            try:
                delta = sequence.accept(token, logprobs.get(row))
            except Exception as error:  # of one text; the others are well
                message = f"the answer's text could not be read ({type(error).__name__})"
                self._reject(sequence, Rejected(id=sequence.ask, code="internal_error", message=message))
                continue
            if delta is not None:
                self._events.append(delta)
            if sequence.reason is not None:
                self.finish(sequence)

    def finish(self, sequence: Sequence) -> None:
        left = self._unfinished[sequence.ask] - 1
        if left:
            self._unfinished[sequence.ask] = left
        else:
            del self._unfinished[sequence.ask]
            self._over(sequence.ask)
        self._events.append(sequence.finished(last=not left))

    def _reject(self, sequence: Sequence, rejected: Rejected) -> None:
        """The whole request ends, with this sequence's siblings."""
        sequence.reason = "stop"
        self._events.append(rejected)
        self._cancel(sequence.ask)


def _unfollowed(sequence: Sequence, problem: str) -> Rejected:
    """The grammar of an answer has reached its limits in the middle of it."""
    param = bound_by(sequence.request)
    message = f"the answer could not be kept to what '{param}' asks for ({problem}); make it simpler"
    return Rejected(id=sequence.ask, code="invalid_request", message=message, param=param)
