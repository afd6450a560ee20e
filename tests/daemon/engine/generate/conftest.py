"""An engine in this process, over a network of which the right answers are known."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.dispatch_thread import dispatch_thread
from support.engine_wire import Wire, generator
from support.hashing_network import ROWS, Hashing, Make

from mlx_serve.daemon.engine.cache import capacity
from mlx_serve.daemon.engine.generate import pipelining
from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.generate.memory import ledger
from mlx_serve.daemon.engine.generate.prefilling.pace import Pace
from mlx_serve.daemon.engine.model.load import LanguageModel


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Buffers grow by steps of eight tokens, so that short texts show what memory does."""
    for module in (capacity, ledger):
        monkeypatch.setattr(module, "STEP", 8)
    monkeypatch.setattr(capacity, "PAGE", 8)
    capacity.columns.cache_clear()
    yield
    capacity.columns.cache_clear()


@pytest.fixture
def model(llama: LanguageModel) -> LanguageModel:
    return replace(llama, network=Hashing(), rows=ROWS, batchable=True, paddable=False, ragged=False)


@pytest.fixture(params=["cpu", "pipelined", "threaded", "changing"])
def engine(
    model: LanguageModel, short_steps: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """An engine and its wire; the second way is the one of GPUs, where a step is launched before the last is read, in
    the third a thread of its own does that and rows have pages of their own, and the fourth goes from one to the other
    all the time, as an engine does while it compares them. Whatever the clock says, prompts are read in each step."""
    monkeypatch.setattr(Pace, "owed", False)
    threads = contextlib.ExitStack()

    def make(**limits: Any) -> tuple[Generator, Wire]:
        own = replace(model, costs=replace(model.costs, paged=True)) if request.param == "threaded" else model
        wire = Wire(own)
        dispatch = threads.enter_context(dispatch_thread(monkeypatch)) if request.param == "threaded" else None
        made = generator(own, wire, dispatch=dispatch, **limits)
        made.pipelining.certain = (1 << 40) if request.param in ("pipelined", "threaded") else 0
        if request.param == "changing":
            monkeypatch.setattr(pipelining, "STRETCH", 2)
            monkeypatch.setattr(pipelining, "LONGEST_WAIT", 1)
        monkeypatch.setattr(pipelining, "FIRST_WAIT", 1 if request.param == "changing" else 1 << 40)
        return made, wire

    with threads:
        yield make
