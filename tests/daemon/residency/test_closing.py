"""Draining and closing: no new work, running requests may finish, and no process is left."""

from __future__ import annotations

import asyncio

import pytest
from support.residency_harness import A, B, Build, Clock, LeaseHolder
from support.waiting import GUARD, settle, soon, until

from mlx_serve.daemon.errors import Draining


async def test_draining_takes_no_new_work(build: Build) -> None:
    """The holders inside may finish, and close returns the moment the last is gone."""
    harness = build()
    holder = await LeaseHolder(harness, A).entered()
    closing = asyncio.ensure_future(harness.residency.close(drain_seconds=1000))
    await settle()
    for name in (A, B):
        with pytest.raises(Draining):
            await harness.use_once(name)
    assert not closing.done()
    assert harness.fleet.of(A)[0].alive
    await holder.left()
    await soon(closing)
    assert harness.fleet.left == []


async def test_the_drain_has_an_end(build: Build, clock: Clock) -> None:
    """Then the processes go, whoever is still there."""
    harness = build()
    await harness.residency.start()
    holder = await LeaseHolder(harness, A).entered()
    await soon(harness.residency.close(drain_seconds=0.05))
    assert harness.fleet.left == []
    await holder.left()


async def test_closing_while_a_model_loads(build: Build) -> None:
    """Who waits for it hears that the server stops; nothing is left."""
    harness = build()
    harness.fleet.hold(A)
    holder = LeaseHolder(harness, A)
    await until(lambda: harness.fleet.loads == [A])
    await soon(harness.residency.close())
    with pytest.raises(Draining):
        await holder.entered()
    assert harness.fleet.left == []


async def test_closing_while_a_newcomer_waits_for_room(build: Build) -> None:
    harness = build(cache={"max_llm_models": 1})
    holder = await LeaseHolder(harness, A).entered()
    newcomer = LeaseHolder(harness, B)
    await settle()
    await soon(harness.residency.close())
    with pytest.raises(Draining):
        await newcomer.entered()
    assert harness.fleet.left == []
    await holder.left()


async def test_closing_while_a_busy_model_is_unloaded(build: Build) -> None:
    """Its process goes too, and who waited for the unload to load it again hears that the server stops."""
    harness = build()
    holder = await LeaseHolder(harness, A).entered()
    unloading = asyncio.ensure_future(harness.unload(A))
    late = LeaseHolder(harness, A)
    await settle()
    await soon(harness.residency.close())
    assert harness.fleet.left == []
    with pytest.raises(Draining):
        await late.entered()
    await holder.left()
    await asyncio.wait([unloading], timeout=GUARD)
    assert unloading.done()


async def test_the_drain_waits_for_models_on_their_way_out(build: Build) -> None:
    """A request on a model that is being unloaded is a running request."""
    harness = build()
    holder = await LeaseHolder(harness, A).entered()
    unloading = asyncio.ensure_future(harness.unload(A))
    await settle()
    closing = asyncio.ensure_future(harness.residency.close(drain_seconds=1000))
    await settle()
    assert not closing.done()
    assert harness.fleet.of(A)[0].alive
    await holder.left()
    await soon(closing)
    assert await soon(unloading)


async def test_a_request_that_was_on_its_way_in(build: Build) -> None:
    """It had passed the door when the daemon closed: no process is started for it any more."""
    harness = build()
    await harness.residency.start()
    await settle()
    holder = LeaseHolder(harness, A)
    await asyncio.sleep(0)
    await soon(harness.residency.close())
    with pytest.raises(Draining):
        await holder.entered()
    assert harness.fleet.left == []


async def test_closing_twice(build: Build) -> None:
    harness = build()
    await harness.use_once(A)
    await soon(harness.residency.close())
    await soon(harness.residency.close())
