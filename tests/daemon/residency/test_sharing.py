"""What each model may take of the memory, told to its process as models come and go."""

from __future__ import annotations

import asyncio

import pytest
from support.residency_harness import MB, A, B, Build, C, LeaseHolder, ResidencyHarness
from support.waiting import settle, until

from mlx_serve.daemon.errors import InsufficientMemory

LIMIT, PROCESS = 1000 * MB, 50 * MB


@pytest.fixture
def harness(build: Build) -> ResidencyHarness:
    """1000 MiB for models, 50 for a process without one, files of 300 and 100 MiB."""
    harness = build(models={"memory_limit": LIMIT})
    harness.fleet.process = PROCESS
    for name, size in ((A, 300 * MB), (B, 100 * MB), (C, 300 * MB)):
        harness.store.add(name, size=size)
        harness.fleet.outcomes[name] = size
    return harness


def told(harness: ResidencyHarness, name: str) -> int:
    """What the model's process was told last."""
    runner = harness.fleet.of(name)[-1]
    assert runner.request is not None and runner.request.memory_limit is not None
    return runner.limits[-1] if runner.limits else runner.request.memory_limit


async def test_shares_follow_the_models(harness: ResidencyHarness) -> None:
    """Each gets what it needs and an equal part of the rest; together, with the processes and the spare one, they are
    told the limit and no more. Whoever stays gets back what the others leave."""
    await harness.use_once(A)
    assert told(harness, A) == LIMIT - 2 * PROCESS
    await harness.use_once(B)
    assert told(harness, A) + told(harness, B) == LIMIT - 3 * PROCESS
    assert told(harness, A) - told(harness, B) == 200 * MB
    assert sum(resident.share_bytes for resident in harness.residency.resident()) == LIMIT - PROCESS
    await harness.unload(B)
    assert told(harness, A) == LIMIT - 2 * PROCESS


async def test_what_a_model_holds_is_not_taken_from_it(harness: ResidencyHarness) -> None:
    """Its caches have grown; the newcomer's share is smaller for it."""
    runner = await harness.use_once(A)
    runner.resident_bytes = 780 * MB
    await harness.use_once(B)
    assert harness.resident(A).memory_bytes == 780 * MB
    assert told(harness, A) >= (780 - 50) * MB
    assert told(harness, A) + told(harness, B) <= LIMIT - 2 * PROCESS


async def test_caches_that_have_grown_take_room(harness: ResidencyHarness) -> None:
    """A busy model holds more than it needs: the newcomer waits until it has given that back."""
    holder = await LeaseHolder(harness, A).entered()
    runner = harness.fleet.of(A)[0]
    runner.resident_bytes = 900 * MB
    newcomer = LeaseHolder(harness, B)
    await until(lambda: harness.store.views == [A, B])
    assert not newcomer.inside.is_set()
    runner.resident_bytes = 400 * MB
    other = await LeaseHolder(harness, A).entered()
    await other.left()
    await (await newcomer.entered()).left()
    await holder.left()


async def test_two_loads_at_once_share_too(harness: ResidencyHarness) -> None:
    """A model that loads may widen its weights to half of its share: so much is kept for it, and no more."""
    gates = [harness.fleet.hold(name) for name in (A, B)]
    holders = [LeaseHolder(harness, name) for name in (A, B)]
    await until(lambda: set(harness.fleet.loads) == {A, B})
    shares = sorted((told(harness, name) + PROCESS for name in (A, B)), reverse=True)  # either may come first
    assert shares[0] == LIMIT - PROCESS
    assert shares[0] // 2 + shares[1] <= LIMIT
    for gate in gates:
        gate.set()
    await asyncio.gather(*(holder.entered() for holder in holders))
    assert told(harness, A) + told(harness, B) <= LIMIT - 2 * PROCESS
    for holder in holders:
        await holder.left()


async def test_a_limit_below_a_process_is_refused(build: Build) -> None:
    """With the numbers: what the process takes, and what may be used."""
    harness = build(models={"memory_limit": 100_000_000})
    harness.fleet.process = 50_000_000
    with pytest.raises(InsufficientMemory, match=r"119 MB, of which its process takes 50 MB, and 100 MB may be used"):
        await harness.use_once(A)


async def test_a_spare_process_is_kept_only_where_there_is_room(harness: ResidencyHarness) -> None:
    """Three models leave less than a process takes: none waits beside them; when one has gone there is room again."""
    for name in (A, B):
        await harness.use_once(name)
    await until(lambda: len(harness.fleet.left) == 3)
    harness.store.add(C, size=230 * MB)
    harness.fleet.outcomes[C] = 230 * MB
    await harness.use_once(C)
    await settle()
    assert len(harness.names) == 3 and len(harness.fleet.left) == 3
    await harness.unload(A)
    await harness.use_once(B)
    await until(lambda: len(harness.fleet.left) == 3)
