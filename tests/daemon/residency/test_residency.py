"""Which models are in memory: loaded once, kept while used, put out by time, by want and by room, whoever races."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from fakes.runner import FakeRunner, Fleet
from fakes.store import FakeStore

from mlx_serve.daemon.errors import Draining, InsufficientMemory, LoadError, QueueFull, RunnerDied, UnsupportedByModel
from mlx_serve.daemon.protocol import Generate, TextPrompt
from mlx_serve.daemon.residency import backoff as failures
from mlx_serve.daemon.residency.lease import Resident
from mlx_serve.daemon.residency.residency import Residency
from mlx_serve.daemon.residency.slot import Model
from mlx_serve.daemon.residency.spare import Spare
from mlx_serve.daemon.settings.schema import Settings, load_settings
from mlx_serve.daemon.tasks.pulls import Pulls
from mlx_serve.daemon.workers.runner import Runner
from mlx_serve.store.errors import DamagedModel, UnknownModel

A, B, C, D = "acme/a", "acme/b", "acme/c", "acme/d"
VECTORS = "acme/vectors"
MB = 1 << 20
FAKE = str(Path(__file__).parents[2] / "fakes" / "child.py")
GUARD = 10
T = TypeVar("T")


class House:
    """A residency over a fleet of fake runners and a store of four language models and an embedding model."""

    def __init__(self, settings: Settings, **sections: dict[str, Any]) -> None:
        for section, values in sections.items():
            settings = replace(settings, **{section: replace(getattr(settings, section), **values)})
        self.fleet = Fleet()
        self.store = FakeStore()
        for name in (A, B, C, D):
            self.store.add(name)
        self.store.add(VECTORS, kind="embedding")
        quantizing: Any = None
        self.pulls = Pulls(self.store, quantizing)  # type: ignore[arg-type]
        self.residency = Residency(settings, self.store, Spare(self.fleet.spawn), pulls=self.pulls)  # type: ignore[arg-type]

    def use(self, name: str, **options: Any) -> Any:
        return self.residency.use(name, **options)

    async def visit(self, name: str, **options: Any) -> FakeRunner:
        """Use a model for a moment; gives the runner that was there."""
        async with asyncio.timeout(GUARD), self.use(name, **options) as model:
            return runner_of(model)

    @property
    def names(self) -> list[str]:
        return [resident.name for resident in self.residency.resident()]

    def resident(self, name: str) -> Resident:
        return next(one for one in self.residency.resident() if one.name == name)


def runner_of(model: Model) -> FakeRunner:
    runner: Any = model.entry.runner
    return runner  # type: ignore[no-any-return]


Build = Callable[..., House]


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Build]:
    """Makes houses; afterwards each is closed and must leave no runner behind."""
    houses: list[House] = []
    settings = load_settings({}, {"MLX_SERVE_HOME": str(tmp_path)})

    def make(**sections: Any) -> House:
        houses.append(House(settings, **sections))
        return houses[-1]

    yield make
    for house in houses:
        for gate in [*house.fleet.gates.values(), *house.fleet.close_gates.values()]:
            gate.set()
        await asyncio.wait_for(house.pulls.close(), GUARD)
        await asyncio.wait_for(house.residency.close(), GUARD)
        assert house.fleet.left == []


class Clock:
    """Time as the loop and the timers see it, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = asyncio.get_running_loop()
        self.shift = 0.0
        real = self.loop.time
        monkeypatch.setattr(self.loop, "time", lambda: real() + self.shift)
        monkeypatch.setattr(failures, "time", self)

    def monotonic(self) -> float:
        return time.monotonic() + self.shift

    async def advance(self, seconds: float) -> None:
        """Whatever is due by then has happened when this returns."""
        self.shift += seconds
        await settle()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def settle() -> None:
    """Let everything that can run now run, other threads' results included."""
    for _ in range(5):
        await asyncio.to_thread(int)
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(GUARD):
        while not condition():
            await settle()


class Guest:
    """A task that holds a lease until it is told to go."""

    def __init__(self, house: House, name: str, **options: Any) -> None:
        self.inside = asyncio.Event()
        self.leave = asyncio.Event()
        self.model: Model | None = None
        self.task = asyncio.ensure_future(self._stay(house, name, options))

    async def _stay(self, house: House, name: str, options: dict[str, Any]) -> None:
        async with house.use(name, **options) as self.model:
            self.inside.set()
            await self.leave.wait()

    async def arrived(self) -> Guest:
        entered = asyncio.ensure_future(self.inside.wait())
        await asyncio.wait([entered, self.task], timeout=GUARD, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            entered.cancel()
            self.task.result()
        assert self.inside.is_set()
        return self

    async def gone(self) -> None:
        self.leave.set()
        await asyncio.wait_for(self.task, GUARD)


async def soon(awaitable: Awaitable[T]) -> T:
    return await asyncio.wait_for(awaitable, GUARD)


# --- loading


async def test_a_hundred_ask_and_one_load_happens(build: Build) -> None:
    house = build()
    gate = house.fleet.hold(A)
    guests = [Guest(house, A) for _ in range(100)]
    await until(lambda: house.residency.queue.running + house.residency.queue.waiting == 100)
    gate.set()
    await asyncio.gather(*(guest.arrived() for guest in guests))
    assert house.fleet.loads == [A]
    assert house.store.views == [A]
    assert len({runner_of(guest.model).pid for guest in guests if guest.model}) == 1
    assert all(guest.model.load_seconds > 0 for guest in guests if guest.model)
    await asyncio.gather(*(guest.gone() for guest in guests))
    async with house.use(A) as model:
        assert model.load_seconds == 0


async def test_the_first_may_leave(build: Build) -> None:
    """Whoever caused the load hangs up: it goes on for the others."""
    house = build()
    gate = house.fleet.hold(A)
    first, second = Guest(house, A), Guest(house, A)
    await until(lambda: house.fleet.loads == [A])
    first.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first.task
    gate.set()
    await second.arrived()
    assert house.fleet.loads == [A]
    await second.gone()


async def test_all_may_leave(build: Build, clock: Clock) -> None:
    """The load is finished for whoever comes next, and its time runs."""
    house = build()
    gate = house.fleet.hold(A)
    guest = Guest(house, A)
    await until(lambda: house.fleet.loads == [A])
    guest.task.cancel()
    gate.set()
    await until(lambda: house.names == [A])
    assert house.resident(A).running == 0
    await house.visit(A)
    assert house.fleet.loads == [A]
    await clock.advance(1801)
    assert house.names == []


async def test_what_the_child_is_told(build: Build) -> None:
    house = build(engine={"max_batch": 3, "prefill_tokens_per_step": 99, "context_length": 2048})
    runner = await house.visit(A)
    request = runner.request
    assert request is not None
    assert (request.path, request.name, request.kind) == ("/nowhere/acme/a", A, "llm")
    assert (request.max_batch, request.prefill_tokens_per_step, request.context_length) == (3, 99, 2048)
    assert request.memory_limit == house.fleet.memory


async def test_the_second_model_gets_the_memory_that_is_left(build: Build) -> None:
    house = build(models={"memory_limit": 1000 * MB})
    house.fleet.outcomes[A] = 300 * MB
    await house.visit(A)
    runner = await house.visit(B)
    assert runner.request is not None
    assert runner.request.memory_limit == 1000 * MB - (300 + 64) * MB


async def test_two_names_of_one_model_share_it(build: Build) -> None:
    house = build()
    house.store.add("acme/alias", digest=house.store.find(A).digest)
    assert await house.visit(A) is await house.visit("acme/alias")


async def test_an_unknown_model(build: Build) -> None:
    with pytest.raises(UnknownModel):
        await build().visit("acme/none")


async def test_a_missing_model_is_pulled_once(build: Build) -> None:
    """With auto_download, for all who ask."""
    house = build(models={"auto_download": True})
    await asyncio.gather(*(house.visit("acme/new") for _ in range(10)))
    assert house.store.pulls == ["acme/new"]
    assert house.fleet.loads == ["acme/new"]


async def test_preloading(build: Build) -> None:
    """`load` brings a model in and leaves it there."""
    house = build()
    resident = await soon(house.residency.load(A, keep_alive=-1))
    assert (resident.name, resident.pid) == (A, house.fleet.of(A)[0].pid)
    assert house.names == [A]
    assert house.resident(A).expires_at is None


async def test_what_is_resident_is_shown(build: Build) -> None:
    """Last used first, with who runs and who waits beyond the batch; a model on its way is not shown."""
    house = build(engine={"max_batch": 2})
    await house.visit(A)
    await house.visit(B)
    house.fleet.hold(C)
    coming = Guest(house, C)
    guests = [await Guest(house, A).arrived() for _ in range(3)]
    assert house.names == [A, B]
    shown = house.resident(A)
    assert (shown.running, shown.waiting) == (2, 1)
    assert shown.memory_bytes == MB
    assert shown.installed.name.display() == A
    assert house.residency.queue.limit == 256
    assert (house.residency.queue.running, house.residency.queue.waiting) == (3, 1)
    house.fleet.gates[C].set()
    for guest in (*guests, coming):
        await guest.gone()


# --- room


async def test_the_one_used_longest_ago_makes_room(build: Build) -> None:
    house = build(cache={"max_llm_models": 2})
    for name in (A, B, A, C):
        await house.visit(name)
    assert set(house.names) == {A, C}
    assert house.fleet.of(B)[0].closed


async def test_each_kind_has_its_own_maximum(build: Build) -> None:
    house = build(cache={"max_llm_models": 1, "max_embedding_models": 1})
    for name in (VECTORS, A, B):
        await house.visit(name)
    assert set(house.names) == {VECTORS, B}


async def test_memory_makes_room_among_all_kinds(build: Build) -> None:
    house = build(models={"memory_limit": 400 * MB})
    house.fleet.outcomes |= {VECTORS: 100 * MB, A: 150 * MB}
    await house.visit(VECTORS)
    await house.visit(A)
    await house.visit(B)
    assert set(house.names) == {A, B}


async def test_a_busy_model_is_not_put_out(build: Build) -> None:
    """The newcomer waits; the moment the guest leaves, it comes in."""
    house = build(cache={"max_llm_models": 1})
    guest = await Guest(house, A).arrived()
    newcomer = Guest(house, B)
    await settle()
    assert house.names == [A]
    assert not newcomer.inside.is_set()
    assert not house.fleet.of(A)[0].closed
    await guest.gone()
    await newcomer.arrived()
    assert house.fleet.of(A)[0].closed
    assert house.names == [B]
    await newcomer.gone()


async def test_who_waits_for_room_holds_nobody_else_up(build: Build) -> None:
    """A language model waits for a busy one; an embedding model, for which there is room, comes in meanwhile."""
    house = build(cache={"max_llm_models": 1})
    guest = await Guest(house, A).arrived()
    newcomer = Guest(house, B)
    await settle()
    await house.visit(VECTORS)
    assert not newcomer.inside.is_set()
    await guest.gone()
    await (await newcomer.arrived()).gone()


async def test_room_is_not_given_twice(build: Build) -> None:
    """Two newcomers at once, room for one: the second waits until the first is idle."""
    house = build(cache={"max_llm_models": 1})
    await house.visit(A)
    one, two = Guest(house, B), Guest(house, C)
    await asyncio.wait([one.task, two.task], timeout=0.01)
    await until(lambda: one.inside.is_set() or two.inside.is_set())
    await settle()
    first, second = (one, two) if one.inside.is_set() else (two, one)
    assert not second.inside.is_set()
    assert len(house.fleet.left) <= 2  # the model, and the spare
    await first.gone()
    await (await second.arrived()).gone()


async def test_a_model_on_its_way_out_still_takes_its_room(build: Build) -> None:
    """Unloading while it is used: until its process is gone, its memory is not given away."""
    house = build(cache={"max_llm_models": 1})
    guest = await Guest(house, A).arrived()
    unloading = asyncio.ensure_future(house.residency.unload(A))
    newcomer = Guest(house, B)
    await settle()
    assert house.fleet.loads == [A]
    await guest.gone()
    assert await soon(unloading)
    await (await newcomer.arrived()).gone()


async def test_too_large_for_this_machine(build: Build) -> None:
    """At once, with the numbers, and without putting anybody out."""
    house = build(models={"memory_limit": 500 * MB})
    house.store.add("acme/huge", size=20 * 10**9)
    await house.visit(A)
    with pytest.raises(InsufficientMemory, match=r"'acme/huge' needs about 22\.0 GB and 0\.5 GB may be used"):
        await house.visit("acme/huge")
    assert house.names == [A]


async def test_the_device_says_how_much_there_is(build: Build) -> None:
    """Where no limit is configured, the first child's Hello is it."""
    house = build()
    house.store.add("acme/huge", size=2 * house.fleet.memory)
    with pytest.raises(InsufficientMemory, match=r"1\.1 GB may be used"):
        await house.visit("acme/huge")


# --- admission


async def test_a_full_queue_refuses_at_once(build: Build) -> None:
    """Two run, one waits; the fourth hears when to come again, and those inside are not disturbed."""
    house = build(engine={"max_batch": 2}, server={"max_queue": 1})
    guests = [await Guest(house, A).arrived() for _ in range(3)]
    with pytest.raises(QueueFull) as caught:
        await house.visit(A)
    assert 1 <= caught.value.retry_after <= 60
    await house.visit(B)
    await guests[0].gone()
    await house.visit(A)
    for guest in guests[1:]:
        await guest.gone()


async def test_the_queue_is_bounded_while_a_model_loads(build: Build) -> None:
    house = build(engine={"max_batch": 1}, server={"max_queue": 2})
    house.fleet.hold(A)
    guests = [Guest(house, A) for _ in range(3)]
    await until(lambda: house.residency.queue.waiting == 2)
    with pytest.raises(QueueFull):
        await house.visit(A)
    house.fleet.gates[A].set()
    for guest in guests:
        await (await guest.arrived()).gone()


# --- time


async def test_an_idle_model_goes_after_its_time(build: Build, clock: Clock) -> None:
    """Counted from the last use."""
    house = build()
    await house.visit(A)
    await clock.advance(1700)
    await house.visit(A)
    await clock.advance(1700)
    assert house.names == [A]
    await clock.advance(200)
    assert house.names == []
    assert house.fleet.of(A)[0].closed


async def test_keep_alive_of_a_request(build: Build, clock: Clock) -> None:
    """Seconds, for ever, at once; and it stands until another request says otherwise."""
    house = build()
    await house.visit(A, keep_alive=10)
    await house.visit(A)
    assert house.resident(A).expires_at == pytest.approx(time.time() + 10, abs=2)
    await clock.advance(11)
    assert house.names == []
    await house.visit(A, keep_alive=-1)
    assert house.resident(A).expires_at is None
    await clock.advance(10**9)
    assert house.names == [A]
    await house.visit(A, keep_alive=0)
    await settle()
    assert house.names == []


async def test_keep_alive_0_waits_for_the_others(build: Build) -> None:
    house = build()
    guest = await Guest(house, A).arrived()
    await house.visit(A, keep_alive=0)
    await settle()
    assert house.names == [A]
    await guest.gone()
    await settle()
    assert house.names == []


async def test_a_configured_for_ever(build: Build, clock: Clock) -> None:
    house = build(cache={"ttl_seconds": -1})
    await house.visit(A)
    await clock.advance(10**9)
    assert house.names == [A]


async def test_time_does_not_run_while_a_model_is_used(build: Build, clock: Clock) -> None:
    house = build(cache={"ttl_seconds": 5})
    await house.visit(A)
    guest = await Guest(house, A).arrived()
    await clock.advance(10_000)
    assert house.names == [A]
    assert not house.fleet.of(A)[0].closed
    await guest.gone()
    await clock.advance(6)
    assert house.names == []


async def test_a_use_in_the_moment_of_expiry(build: Build, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer fires in one turn of the loop and a request comes in the next, before anything else could happen: it
    does not get the model that is on its way out."""
    house = build(cache={"ttl_seconds": 5})
    old = await house.visit(A)
    found = clock.loop.create_future()
    monkeypatch.setattr(house.residency._finder, "find", lambda _: found)
    guest = Guest(house, A)
    await asyncio.sleep(0)
    clock.shift += 6
    clock.loop.call_soon(found.set_result, house.store.find(A))
    await guest.arrived()
    await settle()
    assert guest.model is not None
    assert runner_of(guest.model) is not old
    assert old.closed
    assert guest.model.entry.closing is None
    assert house.names == [A]
    await guest.gone()


# --- putting out


async def test_unloading_waits_for_requests(build: Build) -> None:
    """And returns when the process is gone; whoever comes meanwhile gets a new one."""
    house = build()
    guest = await Guest(house, A).arrived()
    closing = house.fleet.hold_close(A)
    unloading = asyncio.ensure_future(house.residency.unload(A))
    await settle()
    assert not unloading.done()
    assert not house.fleet.closing.is_set()
    late = Guest(house, A)
    await guest.gone()
    await soon(house.fleet.closing.wait())
    await settle()
    assert not unloading.done()
    assert not late.inside.is_set()
    closing.set()
    assert await soon(unloading) is True
    await late.arrived()
    assert [runner.alive for runner in house.fleet.of(A)] == [False, True]
    await late.gone()


async def test_unloading_what_is_not_there(build: Build) -> None:
    house = build()
    assert await soon(house.residency.unload(A)) is False
    with pytest.raises(UnknownModel):
        await house.residency.unload("acme/none")


async def test_unloading_what_is_on_its_way(build: Build) -> None:
    """Its waiters get their turn, then it goes; and a load that fails is an unload that worked."""
    house = build()
    gate = house.fleet.hold(A)
    guest = Guest(house, A)
    await until(lambda: house.fleet.loads == [A])
    unloading = asyncio.ensure_future(house.residency.unload(A))
    await settle()
    gate.set()
    await guest.arrived()
    await guest.gone()
    assert await soon(unloading)
    house.fleet.outcomes[B] = LoadError(B, "no good")
    gate = house.fleet.hold(B)
    guest = Guest(house, B)
    await until(lambda: B in house.fleet.loads)
    unloading = asyncio.ensure_future(house.residency.unload(B))
    await settle()
    gate.set()
    with pytest.raises(LoadError):
        await guest.arrived()
    assert await soon(unloading)


async def test_unloading_twice_is_unloading_once(build: Build) -> None:
    house = build()
    guest = await Guest(house, A).arrived()
    first = asyncio.ensure_future(house.residency.unload(A))
    await settle()
    others = [asyncio.ensure_future(house.residency.unload(A)) for _ in range(2)]
    await settle()
    await guest.gone()
    answers = await soon(asyncio.gather(first, *others))
    assert answers[0] is True
    assert await soon(house.residency.unload(A)) is False
    assert house.names == []
    assert len(house.fleet.of(A)) == 1


@pytest.mark.parametrize("seed", range(4))
async def test_unloads_racing_with_uses(build: Build, seed: int) -> None:
    """Fifty of each in any order: a runner lives as long as somebody holds it, and a model is never in memory twice."""
    house, chance = build(cache={"max_llm_models": 2}), random.Random(seed)

    async def use() -> None:
        for _ in range(chance.randint(0, 3)):
            await asyncio.sleep(0)
        name = chance.choice([A, B, C])
        async with house.use(name, keep_alive=chance.choice([None, 0, 5])) as model:
            for _ in range(chance.randint(0, 5)):
                assert runner_of(model).alive
                assert sum(runner.alive for runner in house.fleet.of(name)) == 1
                assert len({runner.model for runner in house.fleet.left if runner.model}) <= 2
                await asyncio.sleep(0)

    async def unload() -> None:
        for _ in range(chance.randint(0, 6)):
            await asyncio.sleep(0)
        await house.residency.unload(chance.choice([A, B, C]))

    work = [use() for _ in range(50)] + [unload() for _ in range(50)]
    chance.shuffle(work)
    await asyncio.wait_for(asyncio.gather(*work), GUARD)
    assert house.residency.queue.running == 0


# --- what goes wrong


@pytest.mark.parametrize(
    "error", [LoadError(A, "no good"), UnsupportedByModel(A, "no good"), InsufficientMemory("no good")], ids=repr
)
async def test_a_failed_load_reaches_everybody(build: Build, error: Exception) -> None:
    """Each hears the same; no half-loaded model stays, nor its process."""
    house = build()
    gate = house.fleet.hold(A)
    house.fleet.outcomes[A] = error
    guests = [Guest(house, A) for _ in range(10)]
    await until(lambda: house.residency.queue.running == 10)
    gate.set()
    answers = await asyncio.gather(*(guest.arrived() for guest in guests), return_exceptions=True)
    assert {type(answer) for answer in answers} == {type(error)}
    assert all("no good" in str(answer) for answer in answers)
    await settle()
    assert house.names == []
    assert all(runner.closed for runner in house.fleet.of(A))
    assert house.residency.queue.running == 0


async def test_files_that_were_refused_are_not_tried_again_at_once(build: Build, clock: Clock) -> None:
    """For five seconds the answer is the same without a load."""
    house = build()
    house.fleet.outcomes[A] = LoadError(A, "no good")
    for _ in range(3):
        with pytest.raises(LoadError, match="no good"):
            await house.visit(A)
    assert house.fleet.loads == [A]
    await clock.advance(5.1)
    del house.fleet.outcomes[A]
    await house.visit(A)
    assert house.fleet.loads == [A, A]


async def test_a_damaged_store_is_told(build: Build) -> None:
    house = build()
    house.store.damaged[A] = DamagedModel("a blob of acme/a is missing")
    with pytest.raises(DamagedModel, match="missing"):
        await house.visit(A)
    await settle()
    assert house.names == []
    del house.store.damaged[A]
    await house.visit(A)


async def test_a_model_that_kills_its_process_is_tried_ever_later(build: Build, clock: Clock) -> None:
    """At once, after 1, 5, 30 seconds; the reason has the count and the cause; a success forgets it all."""
    house = build()
    house.fleet.outcomes[A] = RunnerDied(A, "killed by SIGSEGV")
    for count, wait in enumerate((0.0, 1.0, 5.0, 30.0), start=1):
        with pytest.raises(LoadError, match="SIGSEGV"):
            await house.visit(A)
        assert len(house.fleet.loads) == count
        if wait:
            with pytest.raises(LoadError, match=f"{count} times in a row") as caught:
                await house.visit(A)
            assert caught.value.retry_after is not None
            assert len(house.fleet.loads) == count
        await clock.advance(wait + 0.1)
    del house.fleet.outcomes[A]
    await house.visit(A)
    assert await soon(house.residency.unload(A))
    house.fleet.outcomes[A] = RunnerDied(A, "killed by SIGSEGV")
    for _ in range(2):
        with pytest.raises(LoadError, match="SIGSEGV"):
            await house.visit(A)


async def test_a_death_in_serving(build: Build) -> None:
    """It is not shown any more, its guest's requests fail, and the next use loads it again."""
    house = build()
    guest = await Guest(house, A).arrived()
    house.fleet.of(A)[0].die("killed by SIGKILL")
    await settle()
    assert house.names == []
    assert guest.model is not None
    with pytest.raises(RunnerDied, match="SIGKILL"):
        await anext(guest.model.generate(Generate(id=0, prompt=TextPrompt(text="x"))))
    runner = await house.visit(A)
    assert runner.alive
    assert house.names == [A]
    await guest.gone()
    assert house.names == [A]


async def test_a_death_that_nobody_has_noticed_yet(build: Build) -> None:
    """The very next use looks first."""
    house = build()
    await house.visit(A)
    house.fleet.of(A)[0].alive = False
    assert (await house.visit(A)).alive
    assert len(house.fleet.of(A)) == 2


async def test_no_process_can_be_started(build: Build) -> None:
    """The machine is out of processes: an error with words; when there are some again, all is well."""
    house = build()
    house.fleet.spawn_error = OSError(11, "Resource temporarily unavailable")
    for _ in range(2):
        with pytest.raises(LoadError, match="Resource temporarily unavailable"):
            await house.visit(A)
    house.fleet.spawn_error = None
    assert (await house.visit(A)).alive


# --- the spare


async def test_the_spare_is_taken_and_replaced(build: Build) -> None:
    house = build()
    await house.residency.start()
    await settle()
    (spare,) = house.fleet.runners
    assert await house.visit(A) is spare
    await settle()
    assert len(house.fleet.runners) == 2
    assert await house.visit(B) is house.fleet.runners[1]


async def test_a_dead_spare_is_not_used(build: Build) -> None:
    house = build()
    await house.residency.start()
    await settle()
    house.fleet.runners[0].die("killed by SIGKILL")
    assert (await house.visit(A)).alive
    assert house.fleet.loads == [A]


# --- the end


async def test_draining_takes_no_new_work(build: Build) -> None:
    """The guests inside may finish, and close returns the moment the last is gone."""
    house = build()
    guest = await Guest(house, A).arrived()
    closing = asyncio.ensure_future(house.residency.close(drain_seconds=1000))
    await settle()
    for name in (A, B):
        with pytest.raises(Draining):
            await house.visit(name)
    assert not closing.done()
    assert house.fleet.of(A)[0].alive
    await guest.gone()
    await soon(closing)
    assert house.fleet.left == []


async def test_the_drain_has_an_end(build: Build, clock: Clock) -> None:
    """Then the processes go, whoever is still there."""
    house = build()
    await house.residency.start()
    guest = await Guest(house, A).arrived()
    await soon(house.residency.close(drain_seconds=0.05))
    assert house.fleet.left == []
    await guest.gone()


async def test_closing_while_a_model_loads(build: Build) -> None:
    """Who waits for it hears that the server stops; nothing is left."""
    house = build()
    house.fleet.hold(A)
    guest = Guest(house, A)
    await until(lambda: house.fleet.loads == [A])
    await soon(house.residency.close())
    with pytest.raises(Draining):
        await guest.arrived()
    assert house.fleet.left == []


async def test_closing_while_a_newcomer_waits_for_room(build: Build) -> None:
    house = build(cache={"max_llm_models": 1})
    guest = await Guest(house, A).arrived()
    newcomer = Guest(house, B)
    await settle()
    await soon(house.residency.close())
    with pytest.raises(Draining):
        await newcomer.arrived()
    assert house.fleet.left == []
    await guest.gone()


async def test_closing_while_a_busy_model_is_unloaded(build: Build) -> None:
    """Its process goes too, and who waited for the unload to load it again hears that the server stops."""
    house = build()
    guest = await Guest(house, A).arrived()
    unloading = asyncio.ensure_future(house.residency.unload(A))
    late = Guest(house, A)
    await settle()
    await soon(house.residency.close())
    assert house.fleet.left == []
    with pytest.raises(Draining):
        await late.arrived()
    await guest.gone()
    await asyncio.wait([unloading], timeout=GUARD)
    assert unloading.done()


async def test_the_drain_waits_for_models_on_their_way_out(build: Build) -> None:
    """A request on a model that is being unloaded is a running request."""
    house = build()
    guest = await Guest(house, A).arrived()
    unloading = asyncio.ensure_future(house.residency.unload(A))
    await settle()
    closing = asyncio.ensure_future(house.residency.close(drain_seconds=1000))
    await settle()
    assert not closing.done()
    assert house.fleet.of(A)[0].alive
    await guest.gone()
    await soon(closing)
    assert await soon(unloading)


async def test_a_request_that_was_on_its_way_in(build: Build) -> None:
    """It had passed the door when the daemon closed: no process is started for it any more."""
    house = build()
    await house.residency.start()
    await settle()
    guest = Guest(house, A)
    await asyncio.sleep(0)
    await soon(house.residency.close())
    with pytest.raises(Draining):
        await guest.arrived()
    assert house.fleet.left == []


async def test_closing_twice(build: Build) -> None:
    house = build()
    await house.visit(A)
    await soon(house.residency.close())
    await soon(house.residency.close())


# --- with processes


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[Callable[..., Residency]]:
    """A residency over real child processes without models."""
    made: list[Residency] = []
    settings = load_settings({}, {"MLX_SERVE_HOME": str(tmp_path)})

    def make(store: FakeStore) -> Residency:
        made.append(Residency(settings, store, Spare(partial(Runner.spawn, (FAKE,)))))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for residency in made:
        await asyncio.wait_for(residency.close(), GUARD)


async def test_a_process_is_killed_and_the_next_request_works(real: Callable[..., Residency]) -> None:
    """The stream ends with the cause, another model's goes on, and the model is loaded again."""
    store = FakeStore()
    for name in (A, B):
        store.add(name)
    residency = real(store)
    async with residency.use(A) as model, residency.use(B) as other:
        stream = model.generate(Generate(id=0, prompt=TextPrompt(text="killed")))
        beside = other.generate(Generate(id=0, prompt=TextPrompt(text="wait")))
        await anext(beside)
        with pytest.raises(RunnerDied, match="SIGKILL"):
            async for _ in stream:
                pass
        async with residency.use(A) as again:
            assert again.load_seconds > 0
            events = [event async for event in again.generate(Generate(id=0, prompt=TextPrompt(text="hi there")))]
            assert events
        await anext(beside)
        await beside.aclose()


async def test_a_process_that_dies_on_load(real: Callable[..., Residency]) -> None:
    store = FakeStore()
    store.add("acme/dies")
    residency = real(store)
    for _ in range(2):
        with pytest.raises(LoadError, match="exit status 9"):
            await soon(residency.load("acme/dies"))
    with pytest.raises(LoadError, match="2 times in a row"):
        await soon(residency.load("acme/dies"))


async def test_unloading_ends_the_process(real: Callable[..., Residency]) -> None:
    store = FakeStore()
    store.add(A)
    residency = real(store)
    resident = await soon(residency.load(A))
    assert Path(f"/proc/{resident.pid}").exists() or not Path("/proc/self").exists()
    assert await soon(residency.unload(A))
    assert not Path(f"/proc/{resident.pid}").exists()
