"""An idle model leaves after its keep-alive time, counted from its last use."""

from __future__ import annotations

import asyncio
import time

import pytest
from support.residency_harness import A, Build, Clock, LeaseHolder, runner_of
from support.waiting import settle


async def test_an_idle_model_goes_after_its_time(build: Build, clock: Clock) -> None:
    """Counted from the last use."""
    harness = build()
    await harness.use_once(A)
    await clock.advance(1700)
    await harness.use_once(A)
    await clock.advance(1700)
    assert harness.names == [A]
    await clock.advance(200)
    assert harness.names == []
    assert harness.fleet.of(A)[0].closed


async def test_keep_alive_of_a_request(build: Build, clock: Clock) -> None:
    """Seconds, for ever, at once; and it stands until another request says otherwise."""
    harness = build()
    await harness.use_once(A, keep_alive=10)
    before = time.time()
    await harness.use_once(A)
    expires = harness.resident(A).expires_at
    assert expires is not None and before + 9.9 <= expires <= time.time() + 10.1
    await clock.advance(11)
    assert harness.names == []
    await harness.use_once(A, keep_alive=-1)
    assert harness.resident(A).expires_at is None
    await clock.advance(10**9)
    assert harness.names == [A]
    await harness.use_once(A, keep_alive=0)
    await settle()
    assert harness.names == []


async def test_keep_alive_0_waits_for_the_others(build: Build) -> None:
    harness = build()
    holder = await LeaseHolder(harness, A).entered()
    await harness.use_once(A, keep_alive=0)
    await settle()
    assert harness.names == [A]
    await holder.left()
    await settle()
    assert harness.names == []


async def test_a_configured_for_ever(build: Build, clock: Clock) -> None:
    harness = build(cache={"ttl_seconds": -1})
    await harness.use_once(A)
    await clock.advance(10**9)
    assert harness.names == [A]


async def test_time_does_not_run_while_a_model_is_used(build: Build, clock: Clock) -> None:
    harness = build(cache={"ttl_seconds": 5})
    await harness.use_once(A)
    holder = await LeaseHolder(harness, A).entered()
    await clock.advance(10_000)
    assert harness.names == [A]
    assert not harness.fleet.of(A)[0].closed
    await holder.left()
    await clock.advance(6)
    assert harness.names == []


async def test_a_use_in_the_moment_of_expiry(build: Build, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer fires in one turn of the loop and a request comes in the next, before anything else could happen: it
    does not get the model that is on its way out."""
    harness = build(cache={"ttl_seconds": 5})
    old = await harness.use_once(A)
    found = clock.loop.create_future()
    monkeypatch.setattr(harness.residency._resolver, "find", lambda _: found)
    holder = LeaseHolder(harness, A)
    await asyncio.sleep(0)
    clock.shift += 6
    clock.loop.call_soon(found.set_result, harness.store.find(A))
    await holder.entered()
    await settle()
    assert holder.model is not None
    assert runner_of(holder.model) is not old
    assert old.closed
    assert holder.model.slot.closing is None
    assert harness.names == [A]
    await holder.left()
