"""Grammars compiled for one model's vocabulary, on a thread of their own, and the last ones kept."""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from llguidance import LLMatcher, LLTokenizer

from ..output.detokenize import Vocabulary
from .constraint import Constraint
from .literals import BadGrammar, one_line
from .trie import UnknownVocabulary, trie
from .validity import limits

KEPT = 32


class Compiled:
    """A grammar that any number of sequences may follow."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def constraint(self) -> Constraint:
        """At the beginning. What one sequence has found out of the grammar's states, the others need not."""
        return Constraint(self._matcher.deep_copy())


class GrammarCompiler:
    """`submit` may be called by any one thread; what has to be compiled is on the compiler's own, which starts with the
    first grammar."""

    def __init__(self, vocabulary: Vocabulary, rows: int, ends: Iterable[int]) -> None:
        self._vocabulary = vocabulary
        self._rows = rows
        self._ends = frozenset(ends)
        self._trie: LLTokenizer | None = None
        self._kept: OrderedDict[str, Compiled] = OrderedDict()
        self._keeping = threading.Lock()
        self._waiting: queue.SimpleQueue[tuple[str, Callable[[Compiled | BadGrammar], None]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, grammar: str, done: Callable[[Compiled | BadGrammar], None]) -> None:
        """`done` is told the result: at once where it is known, or else on the compiler's thread."""
        if (known := self._known(grammar)) is not None:
            done(known)
            return
        self._waiting.put((grammar, done))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="grammars", daemon=True)
            self._thread.start()

    def compile(self, grammar: str) -> Compiled:
        """Raises BadGrammar."""
        if (known := self._known(grammar)) is not None:
            return known
        matcher = LLMatcher(self._tokenizer(), grammar, limits=limits(), log_level=0)
        if matcher.is_error():
            raise BadGrammar(one_line(matcher.get_error()))
        compiled = Compiled(matcher)
        with self._keeping:
            self._kept[grammar] = compiled
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return compiled

    def _known(self, grammar: str) -> Compiled | None:
        with self._keeping:
            if grammar in self._kept:
                self._kept.move_to_end(grammar)
            return self._kept.get(grammar)

    def _tokenizer(self) -> LLTokenizer:
        if self._trie is None:
            try:
                self._trie = trie(self._vocabulary, self._rows, self._ends)
            except (UnknownVocabulary, ValueError) as error:
                raise BadGrammar(f"this model's vocabulary cannot be masked: {error}") from error
        return self._trie

    def _work(self) -> None:
        while True:
            grammar, done = self._waiting.get()
            try:
                done(self.compile(grammar))
            except BadGrammar as error:
                done(error)
            except Exception as error:  # a fault of the compiler's, which ends one request and no other
                done(BadGrammar(f"it cannot be compiled ({type(error).__name__})"))
