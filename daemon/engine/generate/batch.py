"""The running sequences: who sits in which row, one decode step for all of them, and the tokens it draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import mlx.core as mx

from ...protocol import TokenLogprob
from ..grammar.masks import allowed
from ..model.bucket import without
from ..model.forward import BatchedForward, Forward, SoloForward
from ..model.inputs import Inputs
from ..model.load import LanguageModel
from ..output.detokenize import Vocabulary
from ..shapes import EXACT, Shapes
from .dispatch import Dispatch
from .sampling.sampler import Drawn, Sampler
from .sampling.scores import named
from .sequence import Sequence


@dataclass
class Launch:
    """A step under way: row i of `drawn` belongs to `sequences[i]`. `dispatched` is called before anything of it is
    read. `taken`: its tokens are in the sequences; `followed`: in their grammars."""

    drawn: Drawn
    sequences: list[Sequence]
    asked: list[int]
    dispatched: Callable[[], None]
    values: list[int] | None = None
    taken: bool = False
    followed: bool = False

    def read(self) -> list[int]:
        """The drawn tokens; waits for the device the first time."""
        if self.values is None:
            self.dispatched()
            self.values = [int(token) for token in _host(self.drawn.tokens)]
        return self.values

    def follow(self) -> None:
        """Take the tokens into the grammars of their sequences, once; waits for the device."""
        if self.followed:
            return
        self.followed = True
        if any(sequence.constraint is not None for sequence in self.sequences):
            for sequence, token in zip(self.sequences, self.read(), strict=True):
                if sequence.constraint is not None and sequence.reason is None and token >= 0:
                    sequence.constraint.advance(token)

    def note_stops(self) -> None:
        """See before the next launch who ends with the token just drawn, so that no step is spent on them."""
        self.follow()
        for sequence, token in zip(self.sequences, self.read(), strict=True):
            ended = sequence.constraint is not None and sequence.constraint.ended
            if ended or sequence.ends_with(token):
                sequence.stopping = True

    def logprobs(self, vocabulary: Vocabulary) -> dict[int, TokenLogprob]:
        """By row, for the rows that asked."""
        if self.drawn.chosen is None:
            return {}
        tokens = self.read()
        chosen = _host(self.drawn.chosen)
        ids = _host(self.drawn.top_ids) if self.drawn.top_ids is not None else [[] for _ in chosen]
        values = _host(self.drawn.top_values) if self.drawn.top_values is not None else [[] for _ in chosen]
        result = {}
        for place, row in enumerate(self.asked):
            wanted = self.sequences[row].draw.logprobs or 0
            best = sorted(zip(values[place], ids[place], strict=True), reverse=True)[:wanted]
            result[row] = named(vocabulary, tokens[row], chosen[place], best)
        return result


@dataclass(frozen=True)
class Begun:
    """A forward pass: the newest token of each row, (rows,), and the logits after it, (rows, vocabulary)."""

    tokens: mx.array
    logits: mx.array


def _host(array: mx.array) -> Any:
    """The values, nested as the shape is; waits for the device."""
    return array.tolist()


class Batch:
    def __init__(self, model: LanguageModel, shapes: Shapes = EXACT, dispatch: Dispatch | None = None) -> None:
        self._dispatch = dispatch or Dispatch()
        self._forward: Forward = (
            BatchedForward(
                model.network, model.costs.forward, ragged=model.ragged, shapes=shapes, paged=model.costs.paged
            )
            if model.batchable
            else SoloForward(model.network)
        )
        self._sampler = Sampler(model.rows)
        self.sequences: list[Sequence] = []
        self._placed: list[Sequence] = []
        self._drawn: mx.array | None = None
        self._begun: Begun | None = None

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each row, those of the step under way included."""
        return tuple(sequence.prompt_tokens + sequence.launched for sequence in self.sequences)

    @property
    def nbytes(self) -> int:
        return self._forward.nbytes

    @property
    def waits(self) -> bool:
        """Whether the next launch waits for what it computes, if the same rows are in it."""
        return self._sampler.waits

    def join(self, caches: list[Any], joining: list[tuple[int, Sequence]], shift: int = 0, alike: int = 0) -> None:
        """Take sequences whose tokens but the last one are in `caches`, each with its row there. `shift`: what they add
        to a token's place to have its position. All begin with the same `alike` tokens."""
        self._give_up()
        self._forward.join(caches, [(row, sequence.length - 1) for row, sequence in joining], shift, alike)
        self.sequences += [sequence for _, sequence in joining]

    def held(self, sequence: Sequence) -> tuple[list[Any], int]:
        """The caches that hold a sequence, one a layer, and its row in them."""
        return self._forward.held(self.sequences.index(sequence))

    def leave(self, sequences: list[Sequence]) -> None:
        self._give_up()
        rows = [self.sequences.index(sequence) for sequence in sequences]
        self._forward.leave(rows)
        self.sequences = without(self.sequences, rows)

    def launch(
        self, before: Launch | None, tell: Callable[[Launch], None] | None = None, *, begin_next: bool = False
    ) -> Launch:
        """Start the next step; `before` is the one whose tokens may not be read yet.

        Nothing is read back where no row has a grammar. Else the last tokens are read once the device is at the forward
        pass, and the masks are made while it computes; so the other rows wait for the masks, if they take longer. What
        is left of that time is for `tell`, which is called with the step before, and, with `begin_next`, for the
        forward pass of the step after, which the device then goes on with while the masks of that are made."""
        begun, self._begun = self._begun, None
        forward = begun or self._pass()
        mask = self._mask(forward.logits, before, launched=begun is not None)
        if mask is not None and before is not None and tell is not None:
            tell(before)
        if self._sampler.waits:
            self._dispatch.settle()
        drawn = self._sampler.sample(forward.logits, [sequence.launched for sequence in self.sequences], mask)
        self._drawn = drawn.tokens
        if self._dispatch.threaded:
            drawn = replace(drawn, tokens=drawn.tokens + 0)  # of which no later step knows
        self._sampler.count(self._drawn, self._leaving(forward.tokens) if self._sampler.windowed else None)
        for sequence in self.sequences:
            sequence.launched += 1
        if begin_next and mask is not None and self._goes_on:
            self._begun = self._pass()
        dispatched = self._dispatch.launch([self._drawn, *drawn.arrays()])
        if self._begun is not None:
            self._dispatch.launch([self._begun.logits])
        return Launch(drawn, list(self.sequences), self._sampler.asked, dispatched)

    def _pass(self) -> Begun:
        """Build the forward pass for the newest tokens."""
        if self._forward.rearranges:
            self._dispatch.settle()
        tokens = self._newest()
        return Begun(tokens, self._forward(Inputs(tokens[:, None])))

    @property
    def _goes_on(self) -> bool:
        """Whether the next step is likely to have the same rows, where it can be begun ahead and be given up."""
        possible = self._dispatch.threaded and self._forward.rewinds and not self._forward.rearranges
        return possible and not any(one.exhausted or one.reason is not None for one in self.sequences)

    def _give_up(self) -> None:
        """What was begun ahead is for other rows than there are now: it is computed again for those."""
        if self._begun is not None:
            self._dispatch.settle()
            self._begun = None
            self._forward.rewind()

    def _mask(self, logits: mx.array, before: Launch | None, *, launched: bool) -> mx.array | None:
        constraints = [sequence.constraint for sequence in self.sequences]
        if not any(constraints):
            return None
        if not launched:
            self._dispatch.launch([logits])
        if before is not None:
            before.follow()
        return allowed(constraints, logits.shape[-1])

    def _newest(self) -> mx.array:
        """Each row's newest token, (rows,): the last draw where it is the row's own, else the sequence's last token."""
        if self._placed == self.sequences and self._drawn is not None:
            return mx.maximum(self._drawn, 0)
        before = {sequence.id: row for row, sequence in enumerate(self._placed)}
        fresh = [sequence for sequence in self.sequences if sequence.id not in before]
        self._sampler.place(
            [sequence.draw for sequence in self.sequences],
            [sequence.tokens[sequence.prompt_tokens :] for sequence in self.sequences],
            [before.get(sequence.id) for sequence in self.sequences],
        )
        self._placed = list(self.sequences)
        known = mx.array([sequence.tokens[-1] for sequence in fresh], dtype=mx.int32)
        if self._drawn is None or not before:
            return known
        places = {sequence.id: len(before) + place for place, sequence in enumerate(fresh)}
        order = [before.get(sequence.id, places.get(sequence.id, 0)) for sequence in self.sequences]
        return mx.maximum(mx.concatenate([self._drawn, known])[mx.array(order)], 0)

    def _leaving(self, newest: mx.array) -> mx.array:
        """Per row, the token that falls out of its penalty window with this step's token, (rows,); -1 for none.

        The newest token of a row may not have been read yet, but it is in `newest`."""
        known, unread = [], []
        for sequence in self.sequences:
            window = sequence.draw.penalty_window
            place = sequence.prompt_tokens + sequence.launched - window
            inside = bool(window) and sequence.prompt_tokens <= place
            known.append(sequence.tokens[place] if inside and place < sequence.length else -1)
            unread.append(inside and place >= sequence.length)
        return mx.where(mx.array(unread), newest, mx.array(known, dtype=mx.int32))
