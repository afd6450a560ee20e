"""Prompts on their way into the caches: a group of requests, side by side, chunk by chunk.

A group starts from empty caches of mlx-lm's own classes. All but the last token of each prompt go in; the last one is
the first decode input. Shorter prompts of a group are padded on the right: with causal attention nothing before the
padding sees it, and it is not copied into the batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from ..model.inputs import Inputs
from ..model.load import LanguageModel
from ..prefix.layers import rebuild
from ..prefix.prefix_cache import Match
from ..prefix.recording import Recording
from ..shapes import EXACT, Shapes
from ..vision.view import View
from .choices import Choices
from .pace import FEWEST_TOKENS, Allowance
from .sampling.scores import widest
from .sequence import Sequence as Generated


class Prefill:
    """Row i of `caches` is that of `requests[i]`, for all of its choices."""

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
        if matches and self.start:
            alike = all(match.same(matches[0]) for match in matches)
            different = matches[:1] if alike else self._shapes.filled(matches)
            rows = [(match.parts(), match.snapshots) for match in different]
            times = self._shapes.rows(len(matches)) if len(different) == 1 else 1
            self.caches = rebuild(self.caches, rows, self.start, times=times)
        self.allowance = Allowance(allowance // len(requests))
        self._scored = [(row, request.scores) for row, request in enumerate(requests) if request.scores is not None]
        self._widest = widest(model.rows, len(self._scored)) if self._scored else None
        for _, scores in self._scored:
            scores.restart()
        self._state: list[Any] = []

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

    def chunks(self, budget: int) -> int:
        """How many chunks are left, if each may have this budget."""
        return -(-(self.total - self.done) // self._width(budget))

    def _width(self, budget: int, share: float = 1.0) -> int:
        """Of the next chunk, where it is not the last one; more than is left, where that is within the budget. `share`:
        of its allowance."""
        each, grain = max(budget, self._at_once) // len(self.requests), self._shapes.grain
        width = min(each, max(FEWEST_TOKENS, int(self.allowance.tokens * share)))
        if self._widest is not None:
            width = min(width, self._widest)
        return max(1, width if width < grain or width >= self.total - self.done else width // grain * grain)

    def _at_most(self, budget: int, share: float) -> float:
        """All of its allowance for those that can be read to their ends at once, so that they cost one step."""
        return 1.0 if self.done == self.start and self._width(budget) >= self.total - self.done else share

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

    def begin_chunk(self, budget: int, step: int, share: float = 1.0) -> Chunk:
        """Start the next chunk in this step of the engine: at most `budget` tokens over the whole group, and that share
        of its allowance where it needs several. While a picture was not looked at, the next piece of that is the chunk,
        of no tokens."""
        began = time.monotonic()  # before MLX is told: its CPU backend returns when most is computed
        if self._view is not None and self._view.pending:
            self._state = self._view.begin_piece()
            return Chunk(self, 0, 0, step, began, share)
        share = self._at_most(budget, share)
        end = min(self.total, self.done + self._width(budget, share))
        if self._view is not None:
            end = min(self.total, self._view.end(self.done, end))
        if self.recording is not None:
            end = self.recording.stop(self.done, end)
        width = end - self.done
        rows = [request.tokens[self.done : min(end, request.length - 1)] for request in self.requests]
        grain = self._shapes.grain
        padded = -(-width // grain) * grain if end == self.total else width
        tokens = mx.array(self._shapes.filled([row + [0] * (padded - len(row)) for row in rows]))
        inputs = Inputs(tokens) if self._view is None else self._view.inputs(tokens, self.done)
        logits = inputs.apply(self._network, self.caches)
        self._state = [cache.state for cache in self.caches]
        for row, scores in self._scored:
            self._state += scores.add(logits[row, : len(rows[row])])
        self.done = end
        if self.recording is not None:
            self._state += self.recording.take(self.caches, end)
        mx.async_eval(self._state)
        if self.complete:
            self.release()
        return Chunk(self, width, sum(map(len, rows)), step, began, share)

    def wait(self) -> None:
        """Until the chunk that was begun last is computed."""
        mx.eval(self._state)

    def note(self, chunk: Chunk, seconds: float) -> None:
        """A chunk took so long."""
        if chunk.width:
            self.allowance.note(chunk.width, seconds, chunk.share)
        elif self._view is not None:
            self._view.note(seconds)

    def release(self) -> None:
        """Let features of pictures go; the prefill is complete, or is given up."""
        if self._view is not None:
            self._view.release()


class Chunk:
    """A part of a prefill on the device: `width` tokens a row, `tokens` of prompt in all, begun in this step, and then
    by the clock, with that share of its allowance."""

    def __init__(self, prefill: Prefill, width: int, tokens: int, step: int, begun: float, share: float) -> None:
        self.prefill = prefill
        self.width = width
        self.tokens = tokens
        self.step = step
        self.begun = begun
        self.share = share
