"""One sequence's place in its grammar."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from llguidance.numpy import fill_next_token_bitmask

from .literals import one_line

SLOW_SECONDS = 0.5
"""Of processor time for one token: the whole batch waits for it. Most masks take some microseconds."""


class Constraint:
    """Goes along with the tokens that are drawn. `ended`: nothing may follow. `problem` says why the grammar can no
    longer be followed: its limits are reached."""

    def __init__(self, matcher: Any) -> None:
        """`matcher` is an LLMatcher of its own."""
        self._matcher = matcher
        self.ended = False
        self.problem: str | None = None

    def advance(self, token: int) -> None:
        """The sequence goes on with this token; after the end there is nothing to follow."""
        if self.ended or self.problem is not None:
            return
        self._matcher.consume_token(token)
        self._look()

    def fill(self, words: np.ndarray) -> None:
        """Which tokens may come next, one bit each, into int32 `words` of shape (1, vocabulary / 32), all ones before.
        They stay ones where there is nothing to follow."""
        if self.ended or self.problem is not None:
            return
        began = time.thread_time()
        fill_next_token_bitmask(self._matcher, words)
        self._look()
        if time.thread_time() - began > SLOW_SECONDS:
            self.problem = self.problem or "it takes too long to follow"
        if self.problem is not None:
            words.fill(-1)

    def _look(self) -> None:
        if self._matcher.is_error():
            self.problem = one_line(self._matcher.get_error()) or "it has become too complex"
        else:
            self.ended = self._matcher.is_stopped()
