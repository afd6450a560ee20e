"""A reasoning block that may take so many tokens and no more: then its closing marker is drawn, whatever is likely.

It goes along with the tokens of one sequence as a grammar does, and may go together with one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..detokenize import Detokenizer
from .bound import BoundFormat
from .family import Thoughts


class Guide(Protocol):
    """Says which tokens may be drawn next. `ended`: nothing may follow. `problem`: why it can no longer be followed."""

    @property
    def ended(self) -> bool: ...
    @property
    def problem(self) -> str | None: ...
    def advance(self, token: int) -> None: ...
    def fill(self, words: np.ndarray) -> None: ...


class ThoughtBudget:
    """`tokens` of the sequence, of which the first `prompt_tokens` are its prompt, are those that were accepted: what
    was drawn while nobody asked is taken from there. `closing` are the tokens that end the block, `inside` says whether
    the prompt opened it, `grammar` what else binds the answer."""

    def __init__(
        self,
        budget: int,
        thought: Thoughts,
        closing: Sequence[int],
        tokens: Sequence[int],
        text: Detokenizer,
        *,
        inside: bool,
        grammar: Guide | None = None,
    ) -> None:
        self._left = budget
        self._closing = list(closing)
        self._tokens, self._followed = tokens, len(tokens)
        self._text = text
        self._format = BoundFormat(thought, inside=inside)
        self._grammar = grammar
        self._forced: list[int] = []
        self.over = False
        self._look()

    @property
    def ended(self) -> bool:
        return self._grammar is not None and self._grammar.ended

    @property
    def problem(self) -> str | None:
        return None if self._grammar is None else self._grammar.problem

    def advance(self, token: int) -> None:
        for each in (*self._tokens[self._followed :], token):
            self._followed += 1
            self._take(each)
        if self._grammar is not None:
            self._grammar.advance(token)

    def fill(self, words: np.ndarray) -> None:
        """As a grammar's: one bit for each token in int32 `words`, all ones before."""
        if self._grammar is not None:
            self._grammar.fill(words)
        if self._forced and self.problem is None:
            token = self._forced[0]
            words.fill(0)
            words.view(np.uint32)[..., token // 32] = 1 << (token % 32)

    def _take(self, token: int) -> None:
        if self.over:
            return
        if self._forced:
            self._forced = self._forced[1:]
            self.over = not self._forced
            return
        before = self._format.channel
        self._format.add(self._text.add(token))
        if self._format.channel == "reasoning":
            self._left -= before == "reasoning"
        elif before == "reasoning" or self._format.decided:
            self.over = True
        self._look()

    def _look(self) -> None:
        if not self.over and self._left <= 0 and self._format.channel == "reasoning":
            self._forced = list(self._closing)
