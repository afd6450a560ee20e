"""Unloading waits for the requests that run, and races with new ones without two copies of a model."""

from __future__ import annotations

import asyncio
import random

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
    """Its waiters get their turn, then it goes; and a load that fails is an unload that worked."""
    harness = build()
    gate = harness.fleet.hold(A)
    holder = LeaseHolder(harness, A)
    await until(lambda: harness.fleet.loads == [A])
    unloading = asyncio.ensure_future(harness.unload(A))
    await settle()
    gate.set()
    await holder.entered()
    await holder.left()
    assert await soon(unloading)
    harness.fleet.outcomes[B] = LoadError(B, "no good")
    gate = harness.fleet.hold(B)
    holder = LeaseHolder(harness, B)
    await until(lambda: B in harness.fleet.loads)
    unloading = asyncio.ensure_future(harness.unload(B))
    await settle()
    gate.set()
    with pytest.raises(LoadError):
        await holder.entered()
    assert await soon(unloading)


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
