"""Loads that fail and processes that die: who is told, and when the model is tried again."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from support.residency_harness import A, B, Build, Clock, LeaseHolder
from support.streams import events_of
from support.waiting import settle, soon, until

from mlx_serve.daemon.errors import InsufficientMemory, LoadError, Quarantined, RunnerDied, UnsupportedByModel
from mlx_serve.daemon.protocol import Generate, TextPrompt
from mlx_serve.store.errors import DamagedModel


@pytest.mark.parametrize(
    "error", [LoadError(A, "no good"), UnsupportedByModel(A, "no good"), InsufficientMemory("no good")], ids=repr
)
async def test_a_failed_load_reaches_everybody(build: Build, error: Exception) -> None:
    """Each hears the same; no half-loaded model stays, nor its process."""
    harness = build()
    gate = harness.fleet.hold(A)
    harness.fleet.outcomes[A] = error
    holders = [LeaseHolder(harness, A) for _ in range(10)]
    await until(lambda: harness.residency.queue.running == 10)
    gate.set()
    answers = await asyncio.gather(*(holder.entered() for holder in holders), return_exceptions=True)
    assert {type(answer) for answer in answers} == {type(error)}
    assert all("no good" in str(answer) for answer in answers)
    await settle()
    assert harness.names == []
    assert all(runner.closed for runner in harness.fleet.of(A))
    assert harness.residency.queue.running == 0


async def test_files_that_were_refused_are_not_tried_again_at_once(build: Build, clock: Clock) -> None:
    """For five seconds the answer is the same without a load."""
    harness = build()
    harness.fleet.outcomes[A] = LoadError(A, "no good")
    for _ in range(3):
        with pytest.raises(LoadError, match="no good"):
            await harness.use_once(A)
    assert harness.fleet.loads == [A]
    await clock.advance(5.1)
    del harness.fleet.outcomes[A]
    await harness.use_once(A)
    assert harness.fleet.loads == [A, A]


async def test_a_damaged_store_is_told(build: Build) -> None:
    harness = build()
    harness.store.damaged[A] = DamagedModel("a blob of acme/a is missing")
    with pytest.raises(DamagedModel, match="missing"):
        await harness.use_once(A)
    await settle()
    assert harness.names == []
    del harness.store.damaged[A]
    await harness.use_once(A)


async def test_a_model_that_kills_its_process_goes_into_quarantine(build: Build, clock: Clock) -> None:
    """Tried again at once, then after a second; the third death is quarantine, and it is not loaded for ten minutes."""
    harness = build()
    harness.fleet.outcomes[A] = RunnerDied(A, "killed by SIGSEGV")
    for wait in (0.0, 1.1, 0.0):
        with pytest.raises(LoadError, match="SIGSEGV"):
            await harness.use_once(A)
        await clock.advance(wait)
    for seconds in (0, 590):
        await clock.advance(seconds)
        with pytest.raises(Quarantined, match="SIGSEGV"):
            await harness.use_once(A)
    assert harness.fleet.loads == [A, A, A]
    assert [one.name for one in harness.residency.quarantined()] == [A]
    del harness.fleet.outcomes[A]
    await clock.advance(20)
    await harness.use_once(A)
    assert harness.residency.quarantined() == [] and harness.residency.deaths == {A: 3}


@pytest.mark.parametrize("watched", [True, False])
async def test_deaths_in_serving_count(build: Build, clock: Clock, watched: bool) -> None:
    """Each once, whoever notices first, the watcher or the next request. Another model is served all the while."""
    harness = build()
    for number in range(1, 4):
        runner = await harness.use_once(A)
        if watched:
            runner.die("killed by SIGSEGV")
            await settle()
        else:
            runner.alive, runner.death = False, "killed by SIGSEGV"
        with suppress(LoadError):
            await harness.use_once(A)
        runner.dead.set()
        await settle()
        assert harness.residency.deaths == {A: number}
        await harness.use_once(B)
        await clock.advance(1.1)
    with pytest.raises(Quarantined, match="SIGSEGV"):
        await harness.use_once(A)


async def test_unloading_is_no_death(build: Build) -> None:
    harness = build()
    for _ in range(4):
        await harness.use_once(A)
        await harness.unload(A)
    assert not harness.residency.deaths


async def test_loading_explicitly_ends_a_quarantine(build: Build, clock: Clock) -> None:
    """So does a new version, for its files are others; the same files pulled again do not."""
    harness = build()
    harness.fleet.outcomes[A] = RunnerDied(A, "killed by SIGSEGV")
    for _ in range(3):
        with pytest.raises(LoadError):
            await harness.use_once(A)
        await clock.advance(1.1)
    del harness.fleet.outcomes[A]
    old = harness.store.find(A)
    harness.store.add(A, digest=old.digest, day=9)
    with pytest.raises(Quarantined):
        await harness.use_once(A)
    harness.store.add(A, digest="f" * 64)
    await harness.use_once(A)
    harness.store.add(A, digest=old.digest)
    await harness.load(A)
    assert harness.residency.quarantined() == []
    assert await soon(harness.unload(A))
    await harness.use_once(A)


async def test_a_death_in_serving(build: Build) -> None:
    """It is not shown any more, its holder's requests fail, and the next use loads it again."""
    harness = build()
    holder = await LeaseHolder(harness, A).entered()
    harness.fleet.of(A)[0].die("killed by SIGKILL")
    await settle()
    assert harness.names == []
    assert holder.model is not None
    with pytest.raises(RunnerDied, match="SIGKILL"):
        await anext(events_of(holder.model, Generate(prompt=TextPrompt(text="x"))))
    runner = await harness.use_once(A)
    assert runner.alive
    assert harness.names == [A]
    await holder.left()
    assert harness.names == [A]


async def test_a_death_that_nobody_has_noticed_yet(build: Build) -> None:
    """The very next use looks first."""
    harness = build()
    await harness.use_once(A)
    harness.fleet.of(A)[0].alive = False
    assert (await harness.use_once(A)).alive
    assert len(harness.fleet.of(A)) == 2


async def test_no_process_can_be_started(build: Build) -> None:
    """The machine is out of processes: an error with words; when there are some again, all is well."""
    harness = build()
    harness.fleet.spawn_error = OSError(11, "Resource temporarily unavailable")
    for _ in range(2):
        with pytest.raises(LoadError, match="Resource temporarily unavailable"):
            await harness.use_once(A)
    harness.fleet.spawn_error = None
    assert (await harness.use_once(A)).alive
