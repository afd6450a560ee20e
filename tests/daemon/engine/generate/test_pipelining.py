"""Which way steps are launched is measured: the faster one is found, and trying the other costs next to nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from support.engine_wire import Wire, ask, generator, run
from support.hashing_network import answer

from mlx_serve.daemon.engine.device import backend
from mlx_serve.daemon.engine.generate import generator as module
from mlx_serve.daemon.engine.generate.pipelining import FIRST_WAIT, LONGEST_WAIT, STRETCH, Pipelining
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.protocol import Sampling

LARGE = 1 << 30
Cost = Callable[[bool], float]


def ways(pipelining: Pipelining, cost: Cost, steps: int, *, rows: int = 8, nbytes: int = LARGE) -> list[bool]:
    """How so many steps went, of which each takes what `cost` says of its way."""
    gone = []
    for _ in range(steps):
        gone.append(pipelining.early(rows, nbytes))
        pipelining.note(cost(gone[-1]), plain=True)
    return gone


def costs(early: float, late: float) -> Cost:
    return lambda way: early if way else late


@pytest.mark.parametrize(("early", "late"), [(10, 13), (13, 10)])
def test_it_settles_on_the_faster_way(early: float, late: float) -> None:
    """All but a few of some thousand steps go it, whichever it is."""
    gone = ways(Pipelining(0), costs(early, late), 5000)
    faster = early < late
    assert gone[:FIRST_WAIT] == [False] * FIRST_WAIT
    assert gone[200:].count(not faster) < 100


def test_trials_get_rare() -> None:
    """Each that changes nothing doubles the wait for the next one, up to the longest."""
    gone = ways(Pipelining(0), costs(13, 10), 4 * LONGEST_WAIT)
    assert gone.count(True) <= 11 * (STRETCH + 1)
    assert gone[-LONGEST_WAIT - 2 * STRETCH :].count(True) <= STRETCH + 1


@pytest.mark.parametrize(("times", "at_most"), [(500, 2), (2, 3)])
def test_a_way_that_is_much_slower_is_given_up_at_once(times: float, at_most: int) -> None:
    """A cache of gigabytes that is copied in every step: the first step on the way there is not counted, the next is
    enough; for twice the time it takes two."""
    gone = ways(Pipelining(0), costs(10 * times, 10), FIRST_WAIT * 3)
    assert 0 < gone.count(True) <= at_most


def test_it_follows_when_the_device_changes_its_mind() -> None:
    """Another process on the GPU, or a machine that got warm."""
    pipelining = Pipelining(0)
    ways(pipelining, costs(13, 10), 1000)
    later = ways(pipelining, costs(10, 13), 3 * LONGEST_WAIT)
    assert later[-1000:].count(True) > 950


def test_noise_does_not_mislead_it() -> None:
    """Times that scatter by a fifth about ones that differ by a quarter, over fifty seeds: the slower way gets few of
    the steps."""
    slow = 0
    for seed in range(50):
        noise = random.Random(seed)
        gone = ways(Pipelining(0), lambda way: (8 if way else 10) * noise.uniform(0.8, 1.2), 4000)  # noqa: B023
        slow += gone[1000:].count(False)
    assert slow < 0.1 * 50 * 3000


def test_sizes_are_compared_by_themselves() -> None:
    """Few bytes are copied in no time, many are not; and below a size nothing is compared."""
    pipelining = Pipelining(1 << 20)
    ways(pipelining, costs(10, 13), 500, rows=1, nbytes=100 << 20)
    ways(pipelining, costs(13, 10), 500, rows=8, nbytes=1 << 30)
    assert pipelining.early(1, 100 << 20)
    assert not pipelining.early(8, 1 << 30)
    assert ways(pipelining, costs(99, 1), 500, nbytes=1 << 19) == [True] * 500


def test_only_plain_steps_count() -> None:
    """Neither a step with prefill, nor one after which rows came or went, nor the first one of the other way."""
    pipelining = Pipelining(0)
    for _ in range(10 * FIRST_WAIT):
        assert not pipelining.early(8, LARGE)
        pipelining.note(1.0, plain=False)


@pytest.mark.parametrize(("copy", "wait", "early"), [(0.001, 0.004, True), (0.02, 0.004, False)])
def test_the_engine_settles_on_the_faster_way(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, copy: float, wait: float, early: bool
) -> None:
    """A clock that goes on as such a device would: a step takes 10 ms; launched late, also what Python needs before;
    launched early, what copying the caches costs. The answer is the same, and most steps went the faster way."""
    clock = Clock(0.010, copy, wait)
    monkeypatch.setattr(module, "time", clock)
    wire = Wire(model)
    made = generator(model, wire, max_batch=4)
    made.pipelining.certain = 0
    clock.follow(made)
    run((made, wire), iter([[ask(1, (5, 6, 7), count=490)]]))
    assert wire.tokens(1) == answer((5, 6, 7), 490)
    assert clock.ways[100:].count(early) > 350


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_tokens_are_told_before_a_launch_that_waits(model: LanguageModel, top_p: float) -> None:
    """Where the host finds the nucleus of a row it waits for the logits: who is told the last token then would be told
    a step late. Other rows' launches do not wait, and are begun first."""
    wire = Wire(model)
    made = generator(model, wire, max_batch=4)
    untold, launch = [], made._batch.launch

    def launching(before: Any, *given: Any, **options: Any) -> Any:
        untold.append(before is not None and not before.taken)
        return launch(before, *given, **options)

    made._batch.launch = launching  # type: ignore[method-assign]
    sampling = Sampling(temperature=1.0, top_p=top_p, top_k=0, seed=7)
    run((made, wire), iter([[ask(1, (5, 6, 7), count=20, sampling=sampling)]]))
    assert len(wire.tokens(1)) == 20
    assert any(untold[2:]) is (top_p == 1.0 or backend() != "cpu")


class Clock:
    """Stands for `time` in the generator; each launch moves it."""

    def __init__(self, step: float, copy: float, wait: float) -> None:
        self.now = 0.0
        self.step, self.copy, self.wait = step, copy, wait
        self.ways: list[bool] = []
        self._read = False

    def monotonic(self) -> float:
        return self.now

    def follow(self, made: Any) -> None:
        """Every launch of this engine moves the clock on, by whether the step before was read first."""
        launch = made._batch.launch

        def launching(*given: Any, **options: Any) -> Any:
            self.ways.append(not self._read)
            self.now += self.step + (self.wait if self._read else self.copy)
            self._read = False
            launched = launch(*given, **options)
            note_stops = launched.note_stops

            def noting() -> None:
                self._read = True
                note_stops()

            launched.note_stops = noting
            return launched

        made._batch.launch = launching
