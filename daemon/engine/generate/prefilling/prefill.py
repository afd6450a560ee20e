"""Prompts on their way into the caches: a group of requests, side by side, chunk by chunk.

A group starts from empty caches of mlx-lm's own classes. All but the last token of each prompt go in; the last one is
the first decode input. Shorter prompts of a group are padded on the right: with causal attention nothing before the
padding sees it, and it is not copied into the batch.

MLX computes nothing before it is asked to, and what a chunk leaves in the cache of one layer needs only the layers
before it. So the graph of a chunk is built as a whole and computed a few layers at a time, and others have their turns
in between: a chunk may be as large as the device likes it, and nobody waits longer than for a piece of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from ...model.inputs import Inputs
from ...model.load import LanguageModel
from ...prefix.layers import begun, rebuild
from ...prefix.match import Match
from ...prefix.recording import Recording
from ...shapes import EXACT, Shapes
from ...vision.view import View
from ..choices import Choices
from ..sampling.scores import widest
from ..sequence import Sequence as Generated
from .pace import FEWEST_TOKENS, Allowance, chunk_seconds

LEAST_BEGUN = 1024
MOST_READ = 2048
"""Tokens that are known, counted for each row, and tokens after them: such a beginning is read where it is, and not
copied. Attention of many is sooner computed on whole arrays, by plans of cuDNN's."""


class Prefill:
    """Row i of `caches` is that of `requests[i]`, for all of its choices. All begin with the same `alike` tokens."""

    def __init__(
        self,
        model: LanguageModel,
        requests: list[Choices],
        allowance: int,
        view: View | None = None,
        matches: list[Match] | None = None,
        recording: Recording | None = None,
        shapes: Shapes = EXACT,
        *,
        at_once: int = 0,
    ) -> None:
        """`view`: the pictures of the only request. `matches`: what each request need not read, as long for all.
        `recording` keeps what they read. `at_once`: of all of them so many tokens may be read in a step in any case."""
        self._network = model.network
        self.requests = requests
        self._view = view
        self.caches: list[Any] = view.caches if view is not None else make_prompt_cache(model.network)
        self.total = max(request.length for request in requests) - 1
        self.start = self.done = matches[0].length if matches else 0
        self.recording = recording
        self._at_once = at_once
        self._shapes = shapes if view is None and model.paddable else EXACT
        self.alike = self.total if len(requests) == 1 else 0
        if matches and self.start:
            alike = all(match.same(matches[0]) for match in matches)
            self.alike = max(self.alike, self.start) if alike else 0
            different = matches[:1] if alike else self._shapes.filled(matches)
            times = self._shapes.rows(len(matches)) if len(different) == 1 else 1
            once = alike and view is None and model.beginnings and self._short_after(times)
            common = begun(matches[0].parts(), self.start) if once else None
            if common is None:
                rows = [(match.parts(), match.snapshots) for match in different]
                common = rebuild(self.caches, rows, self.start, times=times)
            self.caches = common
        self.allowance = Allowance(allowance // len(requests), chunk_seconds(len(self.caches)))
        self._scored = [(row, request.scores) for row, request in enumerate(requests) if request.scores is not None]
        self._widest = widest(model.rows, len(self._scored)) if self._scored else None
        for _, scores in self._scored:
            scores.restart()
        self.chunk: Chunk | None = None
        self.computed = self.start
        self._end = self.start
        self._unbegun: list[Any] = []
        self._scores_made: list[mx.array] = []
        self._state: list[Any] = []

    def _short_after(self, times: int) -> bool:
        """Whether little is left to be read after what all begin with, so many times."""
        return self.total - self.start <= MOST_READ and self.start * times >= LEAST_BEGUN

    @property
    def complete(self) -> bool:
        return self.done >= self.total

    @property
    def shift(self) -> int:
        """What a token after the prompt adds to its place to have its position."""
        return 0 if self._view is None else self._view.shift

    @property
    def remaining(self) -> int:
        return (self.total - self.done) * len(self.requests)

    def last_width(self, budget: int) -> int | None:
        """Tokens of the chunk that would be the next one and the last one; None where that is not so."""
        left = self.total - self.done
        looks = self._view is not None and self._view.pending
        return left if self.chunk is None and not looks and self._width(budget) >= left else None

    def _width(self, budget: int) -> int:
        """Of the next chunk, where it is not the last one; more than is left, where that is within the budget."""
        each = max(budget, self._at_once) // len(self.requests)
        width = min(each, max(FEWEST_TOKENS, self.allowance.tokens))
        if self._widest is not None:
            width = min(width, self._widest)
        return max(1, width if width >= self.total - self.done else self._shapes.whole(width))

    @property
    def rows(self) -> int:
        """How many rows of the batch its sequences will take."""
        return sum(1 for _ in self.members())

    def members(self) -> Iterator[tuple[int, Generated]]:
        """The sequences that are still wanted and not in the batch yet, with their rows in the caches."""
        for row, request in enumerate(self.requests):
            for sequence in request.waiting:
                if sequence.reason is None:
                    yield row, sequence

    @property
    def abandoned(self) -> bool:
        return next(self.members(), None) is None

    def begin_chunk(self, budget: int) -> Chunk:
        """Build the next chunk: at most `budget` tokens over the whole group. Nothing of it is computed before it is
        taken. While a picture was not looked at, the next piece of that is the chunk, of no tokens, and under way.
        """
        if self._view is not None and self._view.pending:
            self._state = self._view.begin_piece()
            return Chunk(0, 0, 0)
        end = min(self.total, self.done + self._width(budget))
        if end < self.total:
            end = self._shapes.end(self.done, end)
        if self._view is not None:
            end = min(self.total, self._view.end(self.done, end))
        if self.recording is not None:
            end = self.recording.stop(self.done, end)
            self.recording.reach(end)
        width = end - self.done
        rows = [request.tokens[self.done : min(end, request.length - 1)] for request in self.requests]
        padded = self._shapes.chunk(width) if end == self.total else width
        tokens = mx.array(self._shapes.filled([row + [0] * (padded - len(row)) for row in rows]))
        inputs = Inputs(tokens) if self._view is None else self._view.inputs(tokens, self.done)
        logits = inputs.apply(self._network, self.caches)
        self._unbegun = [cache.state for cache in self.caches]
        for row, scores in self._scored:
            self._scores_made += scores.add(logits[row, : len(rows[row])])
        self._end = end
        self.chunk = Chunk(width, sum(map(len, rows)), len(self.caches))
        return self.chunk

    @property
    def left(self) -> int:
        """Layers of the chunk that nobody has taken to compute them."""
        return len(self._unbegun)

    def take(self, layers: int) -> list[mx.array]:
        """What is to be computed for so many more layers of the chunk. With the last ones the chunk is done."""
        self._state, self._unbegun = self._unbegun[:layers], self._unbegun[layers:]
        if not self._unbegun:
            self._state += self._scores_made
            self.done, self._scores_made, self.chunk = self._end, [], None
            if self.recording is not None:
                self._state += self.recording.take(self.caches, self.done)
        return self._state

    def leave_off(self) -> None:
        """Nobody waits for the rest now: what was read is kept to its last token, but within a chunk."""
        if self.recording is not None and self.chunk is None and self.start < self.done < self.total:
            mx.async_eval(self.recording.end(self.caches))

    def wait(self) -> None:
        """Until what was launched last is computed."""
        mx.eval(self._state)

    def note(self, chunk: Chunk, layers: int, seconds: float) -> None:
        """So many layers of a chunk took so long."""
        chunk.note(layers, seconds)
        if chunk.over:
            self.computed = self.done
            if chunk.width:
                self.allowance.note(chunk.width, chunk.seconds)
            elif self._view is not None:
                self._view.note(seconds)
        elif chunk is self.chunk:
            self.computed = self.done + chunk.width * chunk.computed // chunk.count

    def release(self) -> None:
        """Let features of pictures go; the prefill is complete, or is given up."""
        if self._view is not None:
            self._view.release()


class Chunk:
    """A part of a prefill: `width` tokens a row, `tokens` of prompt in all. It has `count` layers, of which `computed`
    took `seconds`; `each` is what the next ones are expected to take. What the first one leaves in its cache follows
    from the tokens themselves, almost at once: so the first piece has one layer more, which is not counted."""

    def __init__(self, width: int, tokens: int, count: int) -> None:
        self.width = width
        self.tokens = tokens
        self.count = count
        self.computed = 0
        self.seconds = self.each = 0.0

    @property
    def over(self) -> bool:
        """Whether all of it is computed."""
        return self.computed >= self.count

    def layers(self, seconds: float, tokens: int) -> int:
        """How many take about so long, and count as no more than so many tokens; at least one."""
        fitting = self.count if self.each * self.count <= seconds else int(seconds / self.each)
        fitting = max(1, min(fitting, self.count * tokens // max(1, self.tokens)))
        return min(self.count, fitting + (not self.computed))

    def note(self, layers: int, seconds: float) -> None:
        """So many layers took so long. The next ones are like them, whatever was thought before: a GPU compiles kernels
        in the first piece."""
        counted = layers - (not self.computed)
        self.computed += layers
        self.seconds += seconds
        if counted > 0:
            self.each = seconds / counted
