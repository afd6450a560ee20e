"""A GPU that rests reads prompts together that are prepared one soon after the other, and keeps nobody waiting else."""

from __future__ import annotations

import pytest
from support.engine_wire import NoProcess, Wire, ask, generator

from mlx_serve.daemon.engine.generate.admission.gathering import FEW, GAP_SECONDS, MOST_SECONDS, Gathering
from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.loop import Loop
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.protocol import Started


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def arrive(gathering: Gathering, clock: Clock, count: int, apart: float) -> None:
    """So many, one after the other."""
    for number in range(count):
        clock.now += apart if number else 0.0
        gathering.came()


def test_nobody_waits_who_is_alone(clock: Clock) -> None:
    gathering = Gathering(clock)
    assert gathering.left(0) == 0.0 and gathering.left(5) == 0.0
    gathering.came()
    assert gathering.left(0) == 0.0


def test_the_next_one_is_waited_for_a_moment(clock: Clock) -> None:
    """A prompt that takes long to prepare keeps nobody."""
    gathering = Gathering(clock)
    gathering.came()
    assert gathering.left(1) == pytest.approx(GAP_SECONDS)
    clock.now += GAP_SECONDS / 2
    assert gathering.left(1) == pytest.approx(GAP_SECONDS / 2)
    clock.now += GAP_SECONDS
    assert gathering.left(1) == 0.0


def test_a_burst_is_waited_for(clock: Clock) -> None:
    """32 that are prepared one a millisecond, to the last one; then nobody is left to wait for."""
    gathering = Gathering(clock)
    for number in range(32):
        arrive(gathering, clock, 1, 0.0)
        coming = 31 - number
        assert (gathering.left(coming) > 0.0) == (coming > 0)
        clock.now += 0.001


def test_those_who_would_come_too_late_are_not(clock: Clock) -> None:
    """At the pace of those before, the last one is not there within the time: then none is waited for any more."""
    gathering = Gathering(clock)
    arrive(gathering, clock, FEW + 1, 0.003)
    assert gathering.left(10) > 0.0
    assert gathering.left(30) == 0.0


def test_the_first_ones_say_nothing_of_the_pace(clock: Clock) -> None:
    """The second of 32 came 2.3 ms after the first, while the others were still on their way, and these 30 had to wait
    until the two were read."""
    gathering = Gathering(clock)
    arrive(gathering, clock, 2, 0.0023)
    assert gathering.left(30) > 0.0
    for number in range(30):
        clock.now += 0.001
        gathering.came()
        assert (gathering.left(29 - number) > 0.0) == (number < 29)


def test_the_first_one_waits_no_longer_than_it_may(clock: Clock) -> None:
    """Whoever else comes meanwhile."""
    gathering = Gathering(clock)
    gathering.came()
    began = clock.now
    while (left := gathering.left(1)) > 0.0:
        clock.now += min(left, 0.002)
        gathering.came()
    assert MOST_SECONDS - 0.01 <= clock.now - began <= MOST_SECONDS + 0.001


def test_the_next_group_begins_anew(clock: Clock) -> None:
    gathering = Gathering(clock)
    arrive(gathering, clock, 30, 0.01)
    assert gathering.left(1) == 0.0
    gathering.begin()
    gathering.came()
    assert gathering.left(1) == pytest.approx(GAP_SECONDS)


# in the engine


class Preparing(NoProcess):
    """So many prompts are being prepared."""

    def __init__(self, busy: int) -> None:
        self.busy = busy

    def claim(self, number: int) -> bool:
        self.busy -= 1
        return True


class OneByOne(Wire):
    """Each look into the mailbox takes one more prompt, whether the engine would wait for it or not."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self.seconds: list[float | None] = []

    def drain(self, *, wait: bool, seconds: float | None = None) -> list[object]:
        self.seconds.append(seconds if wait else 0.0)
        return super().drain(wait=wait, seconds=seconds)


LAUNCHES = {1: 0.03, 64: 0.03, 4096: 0.04}
KNOWN = {1: 0.03, 255: 0.03, 300: 0.3, 600: 0.6, 1200: 1.2}
PROPORTIONAL = {1: 0.001, 3: 0.003, 7: 0.007, 15: 0.015, 31: 0.031, 64: 0.064}


def standing(worker: Generator) -> None:
    """No time goes by between two that come: on a busy machine more would than the next one is waited for."""
    worker._gathering = Gathering(Clock())


def seen(worker: Generator, seconds: dict[int, float]) -> None:
    """What chunks of so many tokens took before."""
    for tokens, took in seconds.items():
        worker._pace.timings.note(tokens, took)


def served(
    model: LanguageModel,
    monkeypatch: pytest.MonkeyPatch,
    *,
    gpu: bool,
    count: int = 5,
    seconds: dict[int, float] = LAUNCHES,
) -> tuple[OneByOne, int]:
    """Prompts that come one look after the other; how many steps had begun when the last one began to be read."""
    wire = OneByOne(model)
    worker = generator(model, wire, max_batch=8)
    worker._prompts = Preparing(count)
    standing(worker)
    worker._pace.blocking = not gpu
    seen(worker, seconds)
    steps: list[int] = []
    step = Generator._step

    def counted(self: Generator) -> None:
        steps.append(len(self._scheduler))
        step(self)

    monkeypatch.setattr(Generator, "_step", counted)
    asks = [ask(number, (1, 2, 3 + number), 3) for number in range(1, count + 1)]
    wire.script = iter([[one] for one in asks])
    Loop(worker, wire).run()  # type: ignore[arg-type]
    assert all(any(isinstance(event, Started) for event in wire.events[one.id]) for one in asks)
    assert worker.audit() is None
    return wire, steps[0]


def test_those_that_come_one_after_the_other_are_read_together(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire, first = served(llama, monkeypatch, gpu=True)
    assert first == 5
    assert wire.seconds[1:5] == pytest.approx([GAP_SECONDS] * 4)


def test_a_processor_reads_each_as_it_comes(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """There five take five times as long as one."""
    _, first = served(llama, monkeypatch, gpu=False)
    assert first == 1


def test_where_prompts_take_their_time_nobody_waits_for_more(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them take twice as long as one there, or nobody knows yet: the first one is through sooner by itself."""
    assert served(llama, monkeypatch, gpu=True, seconds=PROPORTIONAL)[1] == 1
    assert served(llama, monkeypatch, gpu=True, seconds={})[1] == 1


def test_what_is_known_of_a_prompt_takes_no_time(llama: LanguageModel) -> None:
    """A long prompt of which all but a little was read before is a short one."""
    wire = OneByOne(llama)
    worker = generator(llama, wire, max_batch=8, memory=1 << 26)
    standing(worker)
    worker._pace.blocking = False
    seen(worker, KNOWN)
    long = tuple(range(1, 221)) * 2
    wire.script = iter([[ask(1, long, 2)]])
    Loop(worker, wire).run()  # type: ignore[arg-type]
    worker._prompts = Preparing(5)
    worker.receive(wire._ready(ask(2, (*long, 7, 8, 9), 2)))
    assert worker.awaited > 0
    worker.step()
    other = generator(llama, wire, max_batch=8, memory=1 << 26)
    standing(other)
    other._pace.blocking = False
    other._prompts = Preparing(5)
    seen(other, KNOWN)
    other.receive(wire._ready(ask(3, long, 2)))
    assert other.awaited == 0.0, "nobody has read it"


def test_who_decodes_waits_for_nobody(llama: LanguageModel) -> None:
    wire = OneByOne(llama)
    worker = generator(llama, wire, max_batch=8)
    standing(worker)
    worker._pace.blocking = False
    seen(worker, LAUNCHES)
    worker._prompts = Preparing(3)
    worker.receive(wire._ready(ask(1, (1, 2, 3), 9)))
    assert worker.awaited > 0
    worker.step()
    worker.receive(wire._ready(ask(2, (1, 2, 3), 9)))
    assert worker.awaited == 0.0
