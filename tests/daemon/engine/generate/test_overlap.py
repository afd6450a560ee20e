"""With rows in pages, steps with prompts are built while the one before is dispatched; what is evaluated for them goes
ahead of them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from support.disk_engine import Process
from support.dispatch_thread import dispatch_thread
from support.engine_wire import Wire, ask, generator, run
from support.small_blocks import blocks_of
from support.waiting import GUARD

from mlx_serve.daemon.engine.generate import pipelining, prompts_on_disk
from mlx_serve.daemon.engine.generate.batch import Batch
from mlx_serve.daemon.engine.generate.dispatch import Dispatch
from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.generate.prefilling.pace import Pace
from mlx_serve.daemon.engine.generate.prefilling.prefill import Chunk, Prefill
from mlx_serve.daemon.engine.generate.prefilling.prefills import Prefills
from mlx_serve.daemon.engine.generate.reuse import Reuse
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prefix.disk import write_behind
from mlx_serve.daemon.engine.prefix.disk.reading.read_back import ReadBack
from mlx_serve.daemon.engine.prefix.disk.write_behind import WriteBehind
from mlx_serve.daemon.protocol import Cancel, Fatal, Finished, Rejected, Sampling


@pytest.fixture
def dispatch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dispatch]:
    with dispatch_thread(monkeypatch) as made:
        yield made


@pytest.fixture
def model(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> LanguageModel:
    """Each step is launched before the last one is read, and prompts are read whatever the clock says."""
    monkeypatch.setattr(pipelining, "FIRST_WAIT", 1 << 40)
    monkeypatch.setattr(Pace, "owed", False)
    return replace(llama, costs=replace(llama.costs, paged=True))


def engine(model: LanguageModel, dispatch: Dispatch | None, **limits: Any) -> tuple[Generator, Wire]:
    wire = Wire(model)
    made = generator(model, wire, dispatch=dispatch, **{"tokens_per_step": 512, "max_batch": 4, **limits})
    made.pipelining.certain = 1 << 40
    made._prefills.blocking = False
    return made, wire


LONG = tuple(3 + place % 90 for place in range(300))


def told(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, dispatch: Dispatch) -> list[bool]:
    """Of each call from now on: whether the thread may be evaluating when it begins."""
    found: list[bool] = []
    real = getattr(owner, name)

    def noted(self: Any, *arguments: Any, **options: Any) -> Any:
        found.append(dispatch.under_way)
        return real(self, *arguments, **options)

    monkeypatch.setattr(owner, name, noted)
    return found


@pytest.fixture
def evaluated(dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Of each evaluation: how many arrays, and whether the thread does it."""
    found: list[tuple[int, bool]] = []
    real = mx.async_eval

    def noted(arrays: list[mx.array]) -> None:
        found.append((len(arrays), threading.current_thread() is not threading.main_thread()))
        real(arrays)

    monkeypatch.setattr(mx, "async_eval", noted)
    return found


def test_prompts_are_built_beside_the_thread(
    model: LanguageModel, dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks, rows that join and rows that leave, what is kept of them too; and the texts are what they are else."""
    blocks_of(8, monkeypatch)
    chunks, taken = (told(monkeypatch, Prefill, name, dispatch) for name in ("begin_chunk", "take"))
    joins, leaves = (told(monkeypatch, Batch, name, dispatch) for name in ("join", "leave"))
    asked = [[ask(1, (5, 6, 7), 90)], *[[]] * 5, [ask(2, LONG, 4)], *[[]] * 9, [ask(3, (9, 8, 7), 5), ask(4, LONG, 6)]]
    made, wire = run_with(model, dispatch, asked, prefixes=1 << 24)
    assert made.audit() is None
    assert chunks.count(True) >= 2 and taken.count(True) >= 2
    assert joins.count(True) >= 2 and leaves.count(True) >= 2
    _, plain = run_with(model, None, asked, prefixes=1 << 24)
    assert [wire.tokens(number) for number in (1, 2, 3, 4)] == [plain.tokens(number) for number in (1, 2, 3, 4)]


def run_with(
    model: LanguageModel, dispatch: Dispatch | None, asked: list[Any], **limits: Any
) -> tuple[Generator, Wire]:
    made, wire = engine(model, dispatch, **limits)
    run((made, wire), iter(asked))
    return made, wire


def test_one_piece_at_a_time_and_a_step_between_two(
    model: LanguageModel, dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece is known to be over by the tokens of the step that followed it: only then the next one is launched, and
    those who decode have got a token in between."""
    monkeypatch.setattr(Prefills, "brief", lambda prefills, one, budget, decoding: one.total < 99 and not one.chunk)
    monkeypatch.setattr(Chunk, "layers", lambda chunk, seconds, tokens: 1)
    steps: list[tuple[int, int]] = []
    take = Prefill.take

    def noted(self: Prefill, layers: int) -> list[mx.array]:
        assert self.total < 99 or made._prefills._piece is None
        steps.append((self.total, made._steps))
        return take(self, layers)

    monkeypatch.setattr(Prefill, "take", noted)
    made, wire = engine(model, dispatch)
    run((made, wire), iter([[ask(1, (5, 6, 7), 60)], *[[]] * 5, [ask(2, LONG, 2)]]))
    pieces = [step for total, step in steps if total == 299]
    assert len(pieces) == len(model.network.layers)
    assert all(later - earlier == 2 for earlier, later in itertools.pairwise(pieces))
    assert len(wire.tokens(1)) == 60 and len(wire.tokens(2)) == 2


@pytest.mark.parametrize("full", [RuntimeError("[malloc] Unable to allocate 4096 bytes"), MemoryError()])
def test_memory_that_runs_out_ahead_of_a_step_ends_that_prompt(
    model: LanguageModel, dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch, full: Exception
) -> None:
    """And nobody else: the step behind it goes on, and no row has joined before its prompt is dispatched. What was kept
    of it is gone; the same prompt can be asked for again."""
    blocks_of(8, monkeypatch)
    failing: list[list[mx.array]] = []
    take, evaluate = Prefill.take, mx.async_eval

    def noted(self: Prefill, layers: int) -> list[mx.array]:
        arrays = take(self, layers)
        if self.total == 299 and not failing:
            failing.append(arrays)
        return arrays

    def limited(arrays: list[mx.array]) -> None:
        if failing and arrays is failing[0]:
            assert not dispatch.under_way
            raise full
        evaluate(arrays)

    monkeypatch.setattr(Prefill, "take", noted)
    monkeypatch.setattr(mx, "async_eval", limited)
    asked = [[ask(1, (5, 6, 7), 60)], *[[]] * 5, [ask(2, LONG, 2)], *[[]] * 4, [ask(3, (5, 6, 7), 60)]]
    made, wire = run_with(model, dispatch, [*asked, [ask(4, LONG, 9)]], prefixes=1 << 24)
    last = wire.events[2][-1]
    assert failing and isinstance(last, Rejected) and last.code == "insufficient_memory"
    assert wire.tokens(1) == wire.tokens(3) and len(wire.tokens(1)) == 60
    assert made.audit() is None
    monkeypatch.setattr(mx, "async_eval", evaluate)
    _, plain = run_with(model, None, [[ask(1, (5, 6, 7), 60)], [ask(4, LONG, 9)]])
    assert [wire.tokens(number) for number in (1, 4)] == [plain.tokens(number) for number in (1, 4)]


def failing(monkeypatch: pytest.MonkeyPatch) -> mx.array:
    """Whoever begins to compute this fails."""
    marker, evaluate = mx.ones(7), mx.async_eval

    def checked(arrays: list[mx.array]) -> None:
        if any(array is marker for array in arrays):
            raise RuntimeError("an illegal memory access was encountered")
        evaluate(arrays)

    monkeypatch.setattr(mx, "async_eval", checked)
    return marker


def test_another_fault_of_a_piece_is_nobodys_to_hide(
    model: LanguageModel, dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine ends, as with one of a step."""
    take, broken = Prefill.take, failing(monkeypatch)
    monkeypatch.setattr(Prefill, "take", lambda self, count: [*take(self, count), *[broken] * (self.total == 299)])
    _, wire = run_with(model, dispatch, [[ask(1, (5, 6, 7), 60)], *[[]] * 5, [ask(2, LONG, 2)]])
    assert isinstance(wire.frames[-1], Fatal) and "illegal memory access" in wire.frames[-1].message


@pytest.mark.parametrize("steps", range(8))
def test_whoever_hangs_up_between_two_pieces_leaves_nothing(
    model: LanguageModel, dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Wherever its prompt is just then; the row beside it goes on, and the prompt can be asked for again."""
    blocks_of(8, monkeypatch)
    monkeypatch.setattr(Chunk, "layers", lambda chunk, seconds, tokens: 1)
    again = [ask(1, (5, 6, 7), 60)], *[[]] * 5, [ask(2, LONG, 9)], *[[]] * steps, [Cancel(id=2)], [ask(3, LONG, 9)]
    made, wire = run_with(model, dispatch, list(again), prefixes=1 << 24)
    _, plain = run_with(model, None, [[ask(1, (5, 6, 7), 60)], [ask(3, LONG, 9)]])
    assert [wire.tokens(number) for number in (1, 3)] == [plain.tokens(number) for number in (1, 3)]
    assert made.audit() is None


def test_what_is_begun_goes_ahead_in_its_order(dispatch: Dispatch, evaluated: list[tuple[int, bool]]) -> None:
    """At once where the thread has nothing; else as soon as somebody waits for the thread, before the next graph."""
    dispatch.begin([mx.ones(1)] * 5)
    assert evaluated == [(5, False)]
    dispatch.launch([mx.ones(1)])
    dispatch.begin([mx.ones(1)] * 2)
    dispatch.begin([mx.ones(1)] * 3)
    dispatch.launch([mx.ones(1)] * 4)
    dispatch.begin([mx.ones(1)] * 6)
    dispatch.settle()
    assert evaluated == [(5, False), (1, True), (2, False), (3, False), (4, True), (6, False)]


def test_what_goes_wrong_ahead_is_told(dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """To whom it was begun for, with the time that it took; what is behind it is computed. Where nobody is told, it is
    raised."""
    heard: list[tuple[int, float, Exception | None]] = []
    array, broken = mx.ones(1) + 1, failing(monkeypatch)

    def listen(number: int) -> Any:
        return lambda began, seconds, error: heard.append((number, began + seconds, error))

    began = time.monotonic()
    dispatch.launch([mx.ones(1)])
    assert dispatch.ahead([broken], listen(0)) and dispatch.ahead([mx.ones(1)], listen(1)) and not heard
    dispatched = dispatch.launch([array])
    assert [number for number, _, _ in heard] == [0, 1] and began <= heard[0][1] <= heard[1][1] <= time.monotonic()
    assert isinstance(heard[0][2], RuntimeError) and heard[1][2] is None
    dispatched()
    assert array.item() == 2 and not dispatch.ahead([mx.ones(1)], listen(2)) and heard[2][0] == 2
    dispatch.launch([mx.ones(1)])
    dispatch.begin([broken])
    with pytest.raises(RuntimeError, match="illegal"):
        dispatch.launch([mx.ones(1)])


def test_prompts_that_begin_alike_are_once_in_the_batch(
    model: LanguageModel, dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole pages of what was known of all of them, and of a prompt with several answers; the texts are those of an
    engine that keeps nothing and has no pages."""
    blocks_of(8, monkeypatch)
    alike: list[tuple[int, int]] = []
    join = Batch.join

    def noted(self: Batch, caches: list[Any], joining: list[Any], shift: int, common: int) -> None:
        alike.append((len(joining), common))
        join(self, caches, joining, shift, common)

    monkeypatch.setattr(Batch, "join", noted)
    beginning = LONG[:280]
    asked = [
        [ask(1, beginning, 4)],
        *[[]] * 40,
        [ask(2 + place, (*beginning, 7 + place, *LONG[:9]), 6) for place in range(3)],
        *[[]] * 40,
        [ask(9, LONG, 6, choices=3, sampling=Sampling(temperature=1.0, seed=4))],
    ]
    made, wire = run_with(model, dispatch, asked, prefixes=1 << 24)
    assert made.audit() is None
    assert (3, 280) in alike and (3, len(LONG) - 1) in alike
    _, plain = run_with(replace(model, costs=replace(model.costs, paged=False)), None, asked)
    assert [wire.tokens(number) for number in (1, 2, 3, 4)] == [plain.tokens(number) for number in (1, 2, 3, 4)]
    ends = [[one.context for one in each.events[9] if isinstance(one, Finished)] for each in (wire, plain)]
    assert ends[0] == ends[1] and len(set(ends[0])) == 3


def test_files_are_written_and_read_beside_the_thread(
    model: LanguageModel, dispatch: Dispatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step waits for it: copies go ahead of one, and what has come from files; another process goes on from them
    while somebody else has tokens."""
    blocks_of(8, monkeypatch, least=16)
    monkeypatch.setattr(write_behind, "SHARE", 1.0)
    met: dict[str, list[tuple[bool, bool]]] = {}

    def note(owner: type, name: str) -> None:
        real = getattr(owner, name)

        def noted(self: Any, *arguments: Any, **options: Any) -> Any:
            before = dispatch.under_way
            found = real(self, *arguments, **options)
            met.setdefault(name, []).append((before, dispatch.under_way))
            return found

        monkeypatch.setattr(owner, name, noted)

    for owner, name in ((WriteBehind, "hand_over"), (Reuse, "look"), (ReadBack, "_keep")):
        note(owner, name)
    texts, _ = Process(model, None).answer(LONG, LONG[:100], count=60)
    process = Process(model, tmp_path, pipelined=True, dispatch=dispatch)
    assert process.answer(LONG, LONG[:100], count=60)[0] == texts
    dispatch.settle()
    process.engine._reuse.close(GUARD)
    again = Process(model, tmp_path, pipelined=True, dispatch=dispatch)
    script: Iterator[list[Any]] = iter([[ask(1, (5, 6, 7), 90)], *[[]] * 5, [ask(2, LONG, 60)]])
    run((again.engine, again.wire), script)
    assert again.wire.tokens(2) == texts[0] and again.wire.finished(2).cached_tokens > 200
    assert len(met) == 3
    for name, pairs in met.items():
        assert (True, True) in pairs and (True, False) not in pairs, name


def test_what_a_gpu_computes_at_once_is_not_looked_for(
    model: LanguageModel, dispatch: Dispatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the pace of its prompts: what is missing of a text that memory has all but a little of, and not a long one."""
    blocks_of(8, monkeypatch, least=16)
    before = Process(model, tmp_path, dispatch=dispatch)
    texts, _ = before.answer(LONG, count=4)
    before.engine._reuse.close(GUARD)
    for missing, cached in ((299, 0), (298, 296)):  # tokens that take so long, of 299
        again = Process(model, tmp_path, dispatch=dispatch)
        # Half a token more: the pace is measured, and a whole number divided and multiplied by it may come out below.
        monkeypatch.setattr(prompts_on_disk, "LOOK_SECONDS", (missing + 1.5) / again.engine._pace.rate)
        answers, _ = again.answer(LONG, count=4)
        assert answers == texts and again.engine.gauges().prefix_disk_tokens == cached
        assert again.engine.audit() is None
    plain = Process(model, tmp_path)
    monkeypatch.setattr(prompts_on_disk, "LOOK_SECONDS", 1e9)
    assert plain.answer(LONG, count=4)[0] == texts and plain.engine.gauges().prefix_disk_tokens == 296, "no GPU"
