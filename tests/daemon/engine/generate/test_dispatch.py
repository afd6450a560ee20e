"""The thread that hands steps to the device: one graph at a time, errors come back, the same texts as without it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest
from support.dispatch_thread import dispatch_thread
from support.engine_wire import Wire, ask, generator, run
from support.small_blocks import blocks_of

from mlx_serve.daemon.engine.generate import pipelining
from mlx_serve.daemon.engine.generate.batch import Batch
from mlx_serve.daemon.engine.generate.dispatch import Dispatch
from mlx_serve.daemon.engine.generate.memory.ledger import Occupancy
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prefix import prefix_cache
from mlx_serve.daemon.protocol import Cancel, Grammar, Sampling


@pytest.fixture
def dispatch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dispatch]:
    with dispatch_thread(monkeypatch) as made:
        yield made


def test_without_a_thread_a_launch_is_dispatched_when_it_returns() -> None:
    dispatch = Dispatch()
    array = mx.ones(3) + 1
    dispatch.launch([array])()
    assert not dispatch.under_way and array.tolist() == [2, 2, 2]


def test_a_launch_waits_for_the_one_before(dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what the first one gave to wait with has nothing left to wait for."""
    going, order = threading.Event(), []
    real = mx.async_eval

    def slow(arrays: list[mx.array]) -> None:
        assert going.wait(30)
        order.append(len(arrays))
        real(arrays)

    monkeypatch.setattr(mx, "async_eval", slow)
    one = dispatch.launch([mx.ones(1) + 1])
    assert dispatch.under_way and not order
    going.set()
    other = dispatch.launch([mx.ones(1) + 1, mx.ones(1) + 2])
    assert order[0] == 1
    one()
    other()
    assert order == [1, 2] and not dispatch.under_way


def test_what_goes_wrong_there_is_raised_here_once(dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(arrays: list[mx.array]) -> None:
        raise RuntimeError("[malloc] no memory")

    with monkeypatch.context() as patched:
        patched.setattr(mx, "async_eval", full)
        dispatched = dispatch.launch([mx.ones(1)])
        with pytest.raises(RuntimeError, match="no memory"):
            dispatched()
    dispatched()
    array = mx.ones(1) + 1
    dispatch.launch([array])()
    assert array.item() == 2


def test_what_another_stream_owns_is_computed_here(dispatch: Dispatch) -> None:
    """As a constant of the network that nobody has looked at yet; what was computed there before it is not lost."""
    constant = mx.add(mx.ones(2), 1, stream=mx.new_stream(mx.default_device()))
    one, other = mx.ones(2) + 5, constant * 2
    dispatch.launch([one, other])()
    assert one.tolist() == [6, 6] and other.tolist() == [4, 4]


def test_its_thread_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in it last; and there is none before it has something to do."""
    before = set(threading.enumerate())
    dispatch = Dispatch(threaded=True)
    assert not set(threading.enumerate()) - before
    dispatch.launch([mx.ones(1)])()
    assert [one.name for one in set(threading.enumerate()) - before] == ["dispatch"]
    monkeypatch.setattr(mx, "async_eval", lambda arrays: 1 // 0)
    dispatch.launch([])
    dispatch.close()
    assert not set(threading.enumerate()) - before
    dispatch.close()


LENGTHS = (3, 40, 11, 24, 6, 17)
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"sampling": Sampling(temperature=0.9, top_p=0.8, seed=7)},
    {"logprobs": 3},
    {"sampling": Sampling(temperature=1.0, frequency_penalty=0.5, seed=3)},
    {"grammar": Grammar(type="regex", source="[0-9]{40,60}")},
    {"sampling": Sampling(temperature=0.0, logit_bias={5: 4.0})},
)


def answers(model: LanguageModel, dispatch: Dispatch | None, monkeypatch: pytest.MonkeyPatch) -> dict[int, list[int]]:
    """Requests that come and go, more than there are rows; one is cancelled."""
    monkeypatch.setattr(pipelining, "FIRST_WAIT", 1 << 40)
    wire = Wire(model)
    made = generator(model, wire, dispatch=dispatch, max_batch=3, tokens_per_step=16, prefixes=1 << 24)
    made.pipelining.certain = 1 << 40
    asks = [
        ask(number, tuple(5 + (number * 7 + place) % 90 for place in range(length)), 20 + number, **options)
        for number, (length, options) in enumerate(zip(LENGTHS, OPTIONS, strict=True), 1)
    ]
    again = ask(9, asks[1].work.prompt.ids, 30)  # type: ignore[union-attr]
    run((made, wire), iter([asks[:2], [], asks[2:], [], [], [], [Cancel(id=4)], *[[]] * 60, [again]]))
    assert made.audit() is None, wire.frames[-1]
    return {number: wire.tokens(number) for number in (1, 2, 3, 5, 6, 9)}


@pytest.mark.parametrize("paged", [False, True])
def test_texts_are_those_of_an_engine_without_it(
    llama: LanguageModel, dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch, paged: bool
) -> None:
    """Greedy and drawn ones, with log-probabilities, penalties and a grammar, on a beginning that is known; and the
    thread does take steps."""
    launched = []
    real = Dispatch.launch

    def counted(self: Dispatch, arrays: list[mx.array]) -> Any:
        launched.append(self.threaded)
        return real(self, arrays)

    monkeypatch.setattr(Dispatch, "launch", counted)
    threaded = answers(replace(llama, costs=replace(llama.costs, paged=paged)), dispatch, monkeypatch)
    assert len(launched) > 60 and all(launched)
    assert threaded == answers(llama, None, monkeypatch)
    assert len(set(map(tuple, threaded.values()))) == len(threaded)


def bound_texts(model: LanguageModel, dispatch: Dispatch | None, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Of rows that are all bound but one, end where their grammars or limits say, and come one after the other."""
    monkeypatch.setattr(pipelining, "FIRST_WAIT", 1 << 40)
    wire = Wire(model)
    made = generator(model, wire, dispatch=dispatch, max_batch=4, tokens_per_step=16, prefixes=1 << 24)
    made.pipelining.certain = 1 << 40
    asks = [
        ask(
            number,
            tuple(5 + (number * 11 + place) % 90 for place in range(3 + number)),
            60 if number % 2 else 9 + number,
            grammar=Grammar(type="regex", source=f"[0-9]{{{number},{20 + number}}}") if number != 3 else None,
            sampling=Sampling(temperature=1.0, seed=number),
            ignore_eos=False,
        )
        for number in range(1, 9)
    ]
    run((made, wire), iter([asks[:4], *[[]] * 7, asks[4:6], *[[]] * 9, [Cancel(id=3)], [], asks[6:]]))
    assert made.audit() is None, wire.frames[-1]
    return [wire.tokens(number) for number in (1, 2, 4, 5, 6, 7, 8)]


@pytest.mark.parametrize("paged", [False, True])
def test_bound_rows_have_the_next_pass_begun(
    llama: LanguageModel, dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch, paged: bool
) -> None:
    """While the masks of a step are made, the device goes on with the forward pass after it; that is given up where a
    row joins, ends or is cancelled. Nobody's text changes by that."""
    counts = {"passes": 0, "rewound": 0, "begun": 0}
    call, rewind = BatchedForward.__call__, BatchedForward.rewind
    launch = Batch.launch

    def counted(self: Batch, *arguments: Any, **options: Any) -> Any:
        counts["begun"] += self._begun is not None
        return launch(self, *arguments, **options)

    def called(self: BatchedForward, inputs: Any) -> mx.array:
        counts["passes"] += 1
        return call(self, inputs)

    def rewound(self: BatchedForward) -> None:
        counts["rewound"] += 1
        rewind(self)

    monkeypatch.setattr(Batch, "launch", counted)
    monkeypatch.setattr(BatchedForward, "__call__", called)
    monkeypatch.setattr(BatchedForward, "rewind", rewound)
    threaded = bound_texts(replace(llama, costs=replace(llama.costs, paged=paged)), dispatch, monkeypatch)
    assert counts["begun"] > 20 and 0 < counts["rewound"] < counts["begun"] / 2
    passes = counts["passes"]
    assert threaded == bound_texts(llama, None, monkeypatch)
    plain = counts["passes"] - passes
    assert passes <= plain + counts["rewound"], "no pass but those is computed twice"
    assert len(set(map(tuple, threaded))) == len(threaded)


@pytest.mark.parametrize("paged", [False, True])
def test_what_is_kept_makes_room_beside_nobody(
    llama: LanguageModel, dispatch: Dispatch, short_steps: None, monkeypatch: pytest.MonkeyPatch, paged: bool
) -> None:
    """Rows that grow take the memory of texts that are only kept, some of which are copied for that."""
    blocks_of(8, monkeypatch)
    monkeypatch.setattr(pipelining, "FIRST_WAIT", 1 << 40)
    copied: list[int] = []
    real = prefix_cache._copied
    monkeypatch.setattr(prefix_cache, "_copied", lambda *given: copied.append(len(copied)) or real(*given))
    own = replace(llama, costs=replace(llama.costs, paged=paged))
    wire = Wire(own)
    made = generator(own, wire, dispatch=dispatch, max_batch=3, tokens_per_step=64, prefixes=1 << 30)
    made.pipelining.certain = 1 << 40
    row = made._memory._ledger.needed(Occupancy((300,), ())) // 300
    made._memory.limit(560 * row)
    long = tuple(5 + place % 90 for place in range(200))
    other = tuple(7 + place % 80 for place in range(200))
    beginning = long[:24]  # which is used again, so that what follows it goes first
    asked = [ask(1, long, 2)], [ask(2, other, 2)], [ask(3, beginning, 150), ask(4, other[:24], 150)]
    run((made, wire), iter([asked[0], *[[]] * 30, asked[1], *[[]] * 30, asked[2]]))
    assert made._reuse.evictions > 3 and copied
    assert [len(wire.tokens(number)) for number in (1, 2, 3, 4)] == [2, 2, 150, 150]
    assert made.audit() is None
