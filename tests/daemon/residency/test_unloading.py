"""Unloading waits for the requests that run, and races with new ones without two copies of a model."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest
from support.residency_harness import A, B, Build, C, LeaseHolder, runner_of
from support.waiting import GUARD, settle, soon, until

from mlx_serve.daemon.errors import LoadError
from mlx_serve.store.errors import UnknownModel


async def test_unloading_waits_for_requests(build: Build) -> None:
    """And returns when the process is gone; whoever comes meanwhile gets a new one."""
    harness = build()
    holder = await LeaseHolder(harness, A).entered()
    closing = harness.fleet.hold_close(A)
    unloading = asyncio.ensure_future(harness.unload(A))
    await settle()
    assert not unloading.done()
    assert not harness.fleet.closing.is_set()
    late = LeaseHolder(harness, A)
    await holder.left()
    await soon(harness.fleet.closing.wait())
    await settle()
    assert not unloading.done()
    assert not late.inside.is_set()
    closing.set()
    assert await soon(unloading) is True
    await late.entered()
    assert [runner.alive for runner in harness.fleet.of(A)] == [False, True]
    await late.left()


async def test_unloading_what_is_not_there(build: Build) -> None:
    harness = build()
    assert await soon(harness.unload(A)) is False
    with pytest.raises(UnknownModel):
        await harness.unload("acme/none")


async def test_unloading_what_is_on_its_way(build: Build) -> None:
    """It goes at once, its waiters hear why and when to come again, and it is not held against the model."""
    harness = build()
    harness.fleet.hold(A)
    holders = [LeaseHolder(harness, A) for _ in range(3)]
    await until(lambda: harness.fleet.loads == [A])
    assert await soon(harness.unload(A))
    for holder in holders:
        with pytest.raises(LoadError, match="it was unloaded while it was loading") as caught:
            await holder.entered()
        assert caught.value.retry_after == 1
    assert harness.names == [] and harness.fleet.of(A)[0].closed
    del harness.fleet.gates[A]
    await harness.use_once(A)


async def test_unloading_what_waits_for_room(build: Build) -> None:
    """It need not wait until the busy model lets it in."""
    harness = build(cache={"max_llm_models": 1})
    busy = await LeaseHolder(harness, A).entered()
    waiting = LeaseHolder(harness, B)
    await until(lambda: harness.store.views == [A, B])
    assert await soon(harness.unload(B))
    with pytest.raises(LoadError, match="unloaded"):
        await waiting.entered()
    await busy.left()
    assert harness.fleet.loads == [A]


async def test_unloading_what_was_just_asked_for(build: Build) -> None:
    """Before the load had its first step, and at each of the next ones."""
    for steps in range(6):
        harness = build()
        holder = LeaseHolder(harness, A)
        await until(lambda harness=harness: A.encode().hex().ljust(64, "0")[:64] in harness.residency.in_use)  # type: ignore[misc]
        for _ in range(steps):
            await asyncio.sleep(0)
        holder.leave.set()
        assert await soon(harness.unload(A))
        await asyncio.wait([holder.task], timeout=GUARD)
        assert holder.task.done()
        if (error := holder.task.exception()) is not None:
            assert "unloaded while it was loading" in str(error)


async def test_unloading_twice_is_unloading_once(build: Build) -> None:
    harness = build()
    holder = await LeaseHolder(harness, A).entered()
    first = asyncio.ensure_future(harness.unload(A))
    await settle()
    others = [asyncio.ensure_future(harness.unload(A)) for _ in range(2)]
    await settle()
    await holder.left()
    answers = await soon(asyncio.gather(first, *others))
    assert answers[0] is True
    assert await soon(harness.unload(A)) is False
    assert harness.names == []
    assert len(harness.fleet.of(A)) == 1


@pytest.mark.parametrize("seed", range(4))
async def test_unloads_racing_with_uses(build: Build, seed: int) -> None:
    """Fifty of each in any order: a runner lives as long as somebody holds it, and a model is never in memory twice."""
    harness, chance = build(cache={"max_llm_models": 2}), random.Random(seed)

    async def use() -> None:
        for _ in range(chance.randint(0, 3)):
            await asyncio.sleep(0)
        name = chance.choice([A, B, C])
        with suppress(LoadError):  # unloaded while it was loading
            await hold(name)

    async def hold(name: str) -> None:
        async with harness.use(name, keep_alive=chance.choice([None, 0, 5])) as model:
            for _ in range(chance.randint(0, 5)):
                assert runner_of(model).alive
                assert sum(runner.alive for runner in harness.fleet.of(name)) == 1
                assert len({runner.model for runner in harness.fleet.left if runner.model}) <= 2
                await asyncio.sleep(0)

    async def unload() -> None:
        for _ in range(chance.randint(0, 6)):
            await asyncio.sleep(0)
        await harness.unload(chance.choice([A, B, C]))

    work = [use() for _ in range(50)] + [unload() for _ in range(50)]
    chance.shuffle(work)
    await asyncio.wait_for(asyncio.gather(*work), GUARD)
    assert harness.residency.queue.running == 0
