"""The thread that prepares prompts: one result for each request, whoever leaves meanwhile, and a deadline."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.engine_wire import Wire, generator

from mlx_serve.daemon.engine.loop import Loop
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prompt import thread as thread_module
from mlx_serve.daemon.engine.prompt.render import Prompts, Refused
from mlx_serve.daemon.engine.prompt.thread import PromptThread, Ready
from mlx_serve.daemon.protocol import (
    Ask,
    ChatPrompt,
    Count,
    Counted,
    Fatal,
    Generate,
    Rejected,
    TextPrompt,
    TokenPrompt,
)


class Slow(Prompts):
    """Prepares a prompt when it is let; notes what it was asked for."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self.began = threading.Event()
        self.let = threading.Event()
        self.prepared: list[str] = []

    def prepare(self, request: Generate) -> Any:
        self.began.set()
        assert self.let.wait(10)
        self.prepared.append(getattr(request.prompt, "text", ""))
        if request.max_tokens == 99:
            raise RuntimeError("a secret place")
        return super().prepare(request)


def ask(number: int, **options: Any) -> Ask:
    return Ask(id=number, work=Generate(prompt=TextPrompt(text=f"hello {number}"), **options))


AtWork = tuple[PromptThread, Slow, "queue.SimpleQueue[Any]"]


@pytest.fixture
def at_work(llama: LanguageModel) -> Iterator[AtWork]:
    prompts, results = Slow(llama), queue.SimpleQueue[Any]()
    yield PromptThread(prompts, results.put), prompts, results
    prompts.let.set()


def test_results_come_in_order(at_work: AtWork) -> None:
    thread, prompts, results = at_work
    prompts.let.set()
    thread.put(ask(1))
    thread.put(Ask(id=2, work=Count(prompt=TextPrompt(text="hello 1"), return_tokens=True)))
    thread.put(Ask(id=3, work=Count(prompt=TextPrompt(text="hello 1"))))
    first, second, third = (results.get(timeout=10) for _ in range(3))
    assert isinstance(first, Ready)
    assert first.id == 1
    tokens = tuple(first.prepared.tokens)
    assert second == Counted(id=2, count=len(tokens), tokens=tokens)
    assert third == Counted(id=3, count=len(tokens))
    assert thread.busy == 3
    assert all(map(thread.claim, (1, 2, 3)))
    assert thread.busy == 0


def test_who_leaves_while_waiting_is_not_prepared(at_work: AtWork) -> None:
    """Nor claimed, and who leaves while it is prepared is not claimed either."""
    thread, prompts, results = at_work
    for number in (1, 2, 3):
        thread.put(ask(number))
    assert prompts.began.wait(10)
    assert thread.cancel(1)
    assert thread.cancel(2)
    assert not thread.cancel(77)
    prompts.let.set()
    for _ in range(3):
        results.get(timeout=10)
    assert prompts.prepared == ["hello 1", "hello 3"]
    assert [thread.claim(number) for number in (1, 2, 3)] == [False, False, True]
    assert not thread.cancel(3)


def test_refusals_are_frames(at_work: AtWork) -> None:
    thread, prompts, results = at_work
    prompts.let.set()
    thread.put(Ask(id=5, work=Generate(prompt=TokenPrompt(ids=(-1,)))))
    refused = results.get(timeout=10)
    assert isinstance(refused, Rejected)
    assert (refused.id, refused.code, refused.param) == (5, "invalid_request", "prompt")
    assert Refused("unsupported", "no", "x").rejected(9) == Rejected(id=9, code="unsupported", message="no", param="x")


def test_a_bug_fails_one_request(at_work: AtWork) -> None:
    """Its kind is told and its text is not; the next request is prepared."""
    thread, prompts, results = at_work
    prompts.let.set()
    thread.put(ask(1, max_tokens=99))
    thread.put(ask(2))
    failed = results.get(timeout=10)
    assert isinstance(failed, Rejected)
    assert (failed.code, "RuntimeError" in failed.message) == ("internal_error", True)
    assert "secret" not in failed.message
    assert isinstance(results.get(timeout=10), Ready)


def test_a_template_that_never_ends_is_fatal(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread can be ended from outside, so the process is: the engine says why and stops."""
    monkeypatch.setattr(thread_module, "DEADLINE_SECONDS", 0.0)
    let, began = threading.Event(), threading.Event()

    class Hanging:
        chat_template = "x"

        def apply_chat_template(self, *_: Any, **__: Any) -> str:
            began.set()
            assert let.wait(10)
            return "x"

        def __call__(self, text: str, **_: Any) -> Any:
            return {"input_ids": [1]}

    model = replace(llama, tokenizer=Hanging())
    wire = Wire(model)
    worker = generator(model, wire, max_batch=1)

    def script() -> Iterator[list[Any]]:
        worker.admit(Ask(id=1, work=Generate(prompt=ChatPrompt(messages=({"role": "user", "content": "x"},)))))
        assert began.wait(10)
        yield []
        raise AssertionError("the engine went on")

    wire.script = script()
    Loop(worker, wire).run()  # type: ignore[arg-type]
    let.set()
    assert isinstance(wire.frames[-1], Fatal)
    assert "took too long" in wire.frames[-1].message
