"""Who counts tokens: the process of a loaded model, else a small one that is shared, bounded, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.runner import FakeRunner, Fleet
from fakes.store import FakeStore
from support.residency_harness import A, B, Build, C, Clock, D, LeaseHolder
from support.waiting import GUARD, settle, soon, until

from mlx_serve.daemon.errors import Draining, LoadError, QueueFull, RunnerDied
from mlx_serve.daemon.protocol import Count, Counted, TextPrompt
from mlx_serve.daemon.residency import tokenizers
from mlx_serve.daemon.residency.tokenizers import (
    FAILED_SECONDS,
    IDLE_SECONDS,
    MOST_PROCESSES,
    PATIENCE_SECONDS,
    Tokenizers,
)
from mlx_serve.daemon.settings.effective_settings import load_settings

WORK = Count(prompts=(TextPrompt(text="a"),))


class Harness:
    """Tokenizers over fake processes and a store of four models; `engines` are the processes of loaded models."""

    def __init__(self, folder: Path, **server: Any) -> None:
        settings = load_settings({}, {"MLX_SERVE_HOME": str(folder)})
        settings = replace(settings, server=replace(settings.server, **server))
        self.fleet = Fleet()
        self.store = FakeStore()
        for name in (A, B, C, D):
            self.store.add(name)
        self.engines: dict[str, Any] = {}
        self.tokenizers = Tokenizers(settings, self.store, self.engines.get, self.fleet.spawn)  # type: ignore[arg-type]

    async def ask(self, name: str) -> int:
        """The process that answered."""
        event = await self.tokenizers.ask(self.store.find(name), WORK)
        assert isinstance(event, Counted)
        return event.count

    def asks(self, name: str, count: int = 1) -> list[asyncio.Future[int]]:
        return [asyncio.ensure_future(self.ask(name)) for _ in range(count)]

    def hold(self, name: str) -> asyncio.Event:
        """A gate that work with this model waits at."""
        self.fleet.asks[name] = asyncio.Event()
        return self.fleet.asks[name]

    def engine(self, name: str) -> FakeRunner:
        runner = FakeRunner(self.fleet)
        runner.model = name
        self.engines[self.store.find(name).base] = runner
        return runner

    @property
    def alive(self) -> list[str]:
        return [runner.model for runner in self.fleet.runners if runner.alive]


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    made = Harness(tmp_path, max_queue=2)
    yield made
    await soon(made.tokenizers.close())
    assert made.alive == [] and made.tokenizers.count == 0


async def test_one_process_for_all_who_ask(harness: Harness) -> None:
    """It is opened once, by whoever comes first."""
    gate = harness.fleet.hold(A)
    asks = harness.asks(A, 5)
    await until(lambda: harness.fleet.loads == [A])
    assert harness.tokenizers.in_use == {harness.store.find(A).digest}
    gate.set()
    assert len({await soon(each) for each in asks}) == 1
    assert harness.tokenizers.in_use == set()
    request = harness.fleet.runners[0].request
    assert request is not None and request.kind == "llm" and request.memory_limit is None


async def test_a_loaded_models_own_process_is_asked(harness: Harness) -> None:
    """And no other is started, unless that one ends meanwhile."""
    engine = harness.engine(A)
    assert await soon(harness.ask(A)) == engine.pid
    assert harness.tokenizers.count == 0
    harness.hold(A)
    (asked,) = harness.asks(A)
    await until(lambda: engine.busy == 1)
    del harness.fleet.asks[A]
    engine.die("put out")
    assert await soon(asked) != engine.pid


async def test_a_loaded_models_process_is_not_flooded(harness: Harness) -> None:
    """Some at once, some wait, the next is turned away."""
    engine, gate = harness.engine(A), harness.hold(A)
    asks = harness.asks(A, tokenizers.ENGINE_PLACES + 2)
    await until(lambda: engine.busy == tokenizers.ENGINE_PLACES)
    with pytest.raises(QueueFull):
        await soon(harness.ask(A))
    gate.set()
    assert {await soon(each) for each in asks} == {engine.pid}


async def test_it_goes_after_a_while(harness: Harness, clock: Clock) -> None:
    """Counted from its last use."""
    first = await soon(harness.ask(A))
    await clock.advance(IDLE_SECONDS - 1)
    assert await soon(harness.ask(A)) == first
    await clock.advance(IDLE_SECONDS - 1)
    assert harness.alive == [A]
    await clock.advance(2)
    await until(lambda: harness.alive == [])
    assert await soon(harness.ask(A)) != first


async def test_there_are_so_many_at_most(harness: Harness) -> None:
    """The idle one that was used longest ago gives way."""
    for name in (A, B, C, A, D):
        await soon(harness.ask(name))
    await until(lambda: sorted(harness.alive) == [A, C, D])
    assert harness.tokenizers.count == MOST_PROCESSES


async def test_who_finds_them_all_busy_has_one_in_the_end(harness: Harness, clock: Clock) -> None:
    """After a moment the one used longest ago takes nobody new; those who wait are not more than may."""
    gates = {name: harness.hold(name) for name in (A, B, C)}
    asks = [each for name in gates for each in harness.asks(name)]
    await until(lambda: sum(runner.busy for runner in harness.fleet.runners) == 3)
    newcomers = harness.asks(D, 2)
    await settle()
    with pytest.raises(QueueFull):
        await soon(harness.ask(D))
    assert not any(each.done() for each in newcomers)
    await clock.advance(PATIENCE_SECONDS)
    gates[A].set()
    assert len({await soon(each) for each in newcomers}) == 1
    for gate in gates.values():
        gate.set()
    await asyncio.wait_for(asyncio.gather(*asks), GUARD)
    assert A not in harness.alive


async def test_one_that_cannot_be_opened_is_tried_again_later(harness: Harness, clock: Clock) -> None:
    """Whoever asks meanwhile hears the same at once."""
    harness.fleet.outcomes[A] = LoadError(A, "tokenizer.json is not JSON")
    for _ in range(3):
        with pytest.raises(LoadError, match="not JSON"):
            await soon(harness.ask(A))
    assert harness.fleet.loads == [A] and harness.alive == []
    del harness.fleet.outcomes[A]
    await clock.advance(FAILED_SECONDS + 1)
    await soon(harness.ask(A))


async def test_deaths_end_what_was_under_way_and_nothing_else(harness: Harness) -> None:
    harness.hold(A)
    (asked,) = harness.asks(A)
    await until(lambda: any(runner.busy for runner in harness.fleet.runners))
    first = harness.fleet.runners[0]
    first.die("killed by SIGKILL")
    with pytest.raises(RunnerDied, match="SIGKILL"):
        await soon(asked)
    del harness.fleet.asks[A]
    assert await soon(harness.ask(A)) != first.pid


@pytest.mark.parametrize("error", [OSError(12, "Cannot allocate memory"), RunnerDied(A, "exit status 1")])
async def test_a_machine_that_starts_no_process(harness: Harness, error: Exception) -> None:
    if isinstance(error, OSError):
        harness.fleet.spawn_error = error
    else:
        harness.fleet.outcomes[A] = error
    with pytest.raises(LoadError, match="tokenizer"):
        await soon(harness.ask(A))


async def test_ending_waits_for_what_is_under_way(harness: Harness) -> None:
    gate = harness.hold(A)
    (asked,) = harness.asks(A)
    await until(lambda: any(runner.busy for runner in harness.fleet.runners))
    ending = asyncio.ensure_future(harness.tokenizers.end(harness.store.find(A).base))
    await settle()
    assert not ending.done()
    gate.set()
    await soon(asked)
    await soon(ending)
    assert harness.alive == []
    await soon(harness.tokenizers.end(harness.store.find(A).base))


async def test_a_name_that_stands_for_another_model(harness: Harness) -> None:
    """The old one's process ends when the new one is asked."""
    await soon(harness.ask(A))
    harness.store.add(A, digest="9" * 64)
    await soon(harness.ask(A))
    await until(lambda: harness.alive == [A])


async def test_leaving_early_cancels(harness: Harness) -> None:
    """While it is opened, too; the process stays for the next one."""
    gate = harness.fleet.hold(A)
    (asked,) = harness.asks(A)
    await until(lambda: harness.fleet.loads == [A])
    asked.cancel()
    await settle()
    gate.set()
    await soon(harness.ask(A))
    assert harness.fleet.loads == [A] and not any(runner.busy for runner in harness.fleet.runners)


async def test_a_daemon_that_stops(harness: Harness) -> None:
    """Who waits is told, and nobody new is served."""
    harness.fleet.hold(A)
    (asked,) = harness.asks(A)
    await until(lambda: harness.fleet.loads == [A])
    await soon(harness.tokenizers.close())
    with pytest.raises(Draining):
        await soon(asked)
    with pytest.raises(Draining):
        await soon(harness.ask(B))


async def test_counting_takes_no_lease(build: Build) -> None:
    """A loaded model counts tokens and is put out at its time all the same; nobody waits for it."""
    harness = build(cache={"max_llm_models": 1})
    holder = await LeaseHolder(harness, A).entered()
    event = await soon(harness.residency.tokenizers.ask(harness.store.find(A), WORK))
    assert isinstance(event, Counted) and event.count == harness.fleet.of(A)[0].pid
    assert harness.residency.queue.running == 1
    await holder.left()
    assert harness.names == [A]
    last = harness.resident(A).last_used
    await soon(harness.residency.tokenizers.ask(harness.store.find(A), WORK))
    assert harness.resident(A).last_used == last
