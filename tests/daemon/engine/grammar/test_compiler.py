"""Grammars compiled for a model's vocabulary, on a thread of their own."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest
from llguidance import LLMatcher
from support.waiting import GUARD

from mlx_serve.daemon.engine.grammar import compiler
from mlx_serve.daemon.engine.grammar.compiler import Compiled, GrammarCompiler
from mlx_serve.daemon.engine.grammar.literals import BadGrammar
from mlx_serve.daemon.engine.model.load import LanguageModel


def letters(text: str) -> str:
    return str(LLMatcher.grammar_from_lark(f'start: "{text}"'))


@pytest.fixture
def made(llama: LanguageModel) -> GrammarCompiler:
    return GrammarCompiler(llama.vocabulary, llama.rows, llama.stop_tokens)


def test_what_was_compiled_is_kept(made: GrammarCompiler) -> None:
    """The least lately used ones are let go."""
    first = made.compile(letters("a"))
    for place in range(compiler.KEPT - 1):
        made.compile(letters(f"x{place}"))
    assert made.compile(letters("a")) is first
    made.compile(letters("b"))
    assert made.compile(letters("a")) is first
    for place in range(compiler.KEPT):
        made.compile(letters(f"y{place}"))
    assert made.compile(letters("a")) is not first


def test_sequences_do_not_share_a_place(made: GrammarCompiler) -> None:
    """Each constraint begins at the beginning."""
    compiled = made.compile(letters("ab"))
    one, other = compiled.constraint(), compiled.constraint()
    one.advance(ord("a"))
    one.advance(ord("b"))
    assert one.ended and not other.ended and other.problem is None
    other.advance(ord("b"))
    assert other.problem is not None and "\n" not in other.problem


def test_results_come_from_the_compilers_own_thread(made: GrammarCompiler) -> None:
    """In order; what cannot be compiled is told as well, and what is known already comes at once."""
    results: queue.SimpleQueue[tuple[Any, int]] = queue.SimpleQueue()

    def done(result: Any) -> None:
        results.put((result, threading.get_ident()))

    for grammar in (letters("a"), "{", letters("b")):
        made.submit(grammar, done)
    got = [results.get(timeout=GUARD) for _ in range(3)]
    assert [type(result) for result, _ in got] == [Compiled, BadGrammar, Compiled]
    assert {thread for _, thread in got} != {threading.get_ident()} and len({thread for _, thread in got}) == 1
    made.submit(letters("a"), done)
    assert results.get(timeout=GUARD)[0] is got[0][0]


def test_a_known_grammar_does_not_wait_for_a_slow_one(made: GrammarCompiler, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the thread is at a grammar, those that are compiled already are there at once."""
    made.compile(letters("a"))
    entered, leave = threading.Event(), threading.Event()
    original = made.compile

    def slow(grammar: str) -> Compiled:
        entered.set()
        assert leave.wait(GUARD)
        return original(grammar)

    monkeypatch.setattr(made, "compile", slow)
    results: list[Any] = []
    late: queue.SimpleQueue[Any] = queue.SimpleQueue()
    made.submit(letters("b"), late.put)
    assert entered.wait(GUARD)
    made.submit(letters("a"), results.append)
    assert len(results) == 1
    leave.set()
    assert isinstance(late.get(timeout=GUARD), Compiled)


def test_a_vocabulary_that_cannot_be_masked(llama: LanguageModel) -> None:
    """Is a reason, not a fault."""
    with pytest.raises(BadGrammar, match="this model's vocabulary cannot be masked"):
        GrammarCompiler(llama.vocabulary, llama.rows, ()).compile(letters("a"))
