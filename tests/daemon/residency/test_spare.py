"""The warm spare process is taken by the next load and replaced."""

from __future__ import annotations

import asyncio

import pytest
from support.residency_harness import A, B, Build, Clock, LeaseHolder
from support.waiting import GUARD, settle

from mlx_serve.daemon.residency.slots import SPARE_SECONDS


async def test_the_spare_is_taken_and_replaced(build: Build) -> None:
    harness = build()
    await harness.residency.start()
    await settle()
    (spare,) = harness.fleet.runners
    assert await harness.use_once(A) is spare
    await settle()
    assert len(harness.fleet.runners) == 2
    assert await harness.use_once(B) is harness.fleet.runners[1]


async def test_a_dead_spare_is_not_used(build: Build) -> None:
    harness = build()
    await harness.residency.start()
    await settle()
    harness.fleet.runners[0].die("killed by SIGKILL")
    assert (await harness.use_once(A)).alive
    assert harness.fleet.loads == [A]


async def test_a_spare_of_which_only_the_end_is_known_is_not_used(build: Build) -> None:
    """Its socket is closed, and nobody has been told yet what it died of."""
    harness = build()
    await harness.residency.start()
    await settle()
    (spare,) = harness.fleet.runners
    spare.connected = False
    assert await harness.use_once(A) is not spare
    spare.die("killed by SIGKILL")


@pytest.mark.parametrize("what", ["a first token", "time", "death"])
async def test_the_next_one_begins_behind_the_first_prompt(what: str, build: Build, clock: Clock) -> None:
    """Its imports keep a core busy for a second, which the first prompt would wait for: not before there is a first
    token, but in time for the next model."""
    harness = build()
    await harness.residency.start()
    holder = await LeaseHolder(harness, A).entered()
    await settle()
    (runner,) = harness.fleet.runners
    await clock.advance(0.9 * SPARE_SECONDS)
    assert harness.fleet.runners == [runner]
    match what:
        case "a first token":
            runner.answered.set()
        case "time":
            await clock.advance(0.2 * SPARE_SECONDS)
        case "death":
            runner.die("killed by SIGKILL")
    await settle()
    assert len(harness.fleet.runners) == 2
    await holder.left()


async def test_a_model_that_is_wanted_before_does_not_wait_for_it(build: Build) -> None:
    """Two models at once: the second one has its process begun when it is asked for, and the next spare is one."""
    harness = build()
    await harness.residency.start()
    holders = [await LeaseHolder(harness, name).entered() for name in (A, B)]
    assert [runner.model for runner in harness.fleet.runners] == [A, B]
    harness.fleet.runners[1].answered.set()
    harness.fleet.runners[0].answered.set()
    await settle()
    assert len(harness.fleet.runners) == 3
    for holder in holders:
        await holder.left()


async def test_nobody_waits_for_a_model_loaded_ahead(build: Build) -> None:
    harness = build()
    await harness.residency.start()
    await harness.load(A)
    await settle()
    assert [runner.model for runner in harness.fleet.runners] == [A, ""]


async def test_none_begins_while_the_daemon_ends(build: Build) -> None:
    """The last answer comes while the daemon waits for it: no model will follow."""
    harness = build()
    await harness.residency.start()
    holder = await LeaseHolder(harness, A).entered()
    ending = asyncio.create_task(harness.residency.close(GUARD))
    await settle()
    (runner,) = harness.fleet.runners
    runner.answered.set()
    await settle()
    assert harness.fleet.runners == [runner]
    await holder.left()
    await ending
