"""Models that are always busy and newcomers that need their room take turns."""

from __future__ import annotations

import asyncio

import pytest
from fakes.runner import FakeRunner
from support.residency_harness import A, B, Build, C, Clock, LeaseHolder, ResidencyHarness
from support.waiting import settle, soon, until

from mlx_serve.daemon.errors import QueueFull


@pytest.fixture
def harness(build: Build) -> ResidencyHarness:
    return build(cache={"max_llm_models": 1}, engine={"max_batch": 2}, server={"max_queue": 2})


async def busy(harness: ResidencyHarness, clock: Clock, name: str) -> LeaseHolder:
    """A holder of a model that has been in memory for long."""
    holder = await LeaseHolder(harness, name).entered()
    await clock.advance(60)
    return holder


async def test_a_newcomer_waits_three_seconds_then_the_busy_model_takes_no_more(
    harness: ResidencyHarness, clock: Clock
) -> None:
    """It finishes what it has; who wants it meanwhile waits until the newcomer has been in."""
    running = await busy(harness, clock, A)
    newcomer = LeaseHolder(harness, B)
    await settle()
    await clock.advance(2.9)
    await (await LeaseHolder(harness, A).entered()).left()
    await clock.advance(0.2)
    late = LeaseHolder(harness, A)
    await settle()
    assert not late.inside.is_set() and not newcomer.inside.is_set()
    assert harness.residency.queue.waiting == 1
    assert not harness.fleet.of(A)[0].closed
    await running.left()
    await newcomer.entered()
    assert harness.fleet.of(A)[0].closed and not late.inside.is_set()
    await newcomer.left()
    await late.entered()
    assert harness.fleet.loads == [A, B, A]
    await late.left()


async def test_the_model_that_had_to_go_comes_back_by_the_same_rule(harness: ResidencyHarness, clock: Clock) -> None:
    """Both always have requests: each has ten seconds at least, and neither starves."""
    holder = await busy(harness, clock, A)
    for out, into in ((A, B), (B, A), (A, B)):
        waiting = LeaseHolder(harness, into)
        await settle()
        await clock.advance(3.1)
        if len(harness.fleet.loads) > 1:
            more = await LeaseHolder(harness, out).entered()
            await more.left()
            await clock.advance(7)
        await until(lambda name=out: closing(harness, name))  # type: ignore[misc]
        await holder.left()
        holder = await waiting.entered()
    assert harness.fleet.loads == [A, B, A, B]
    await holder.left()


def closing(harness: ResidencyHarness, name: str) -> bool:
    slot = harness.residency._slots.of(harness.store.find(name).base)
    return slot is not None and slot.closing is not None


async def test_a_model_that_is_still_loading_is_not_put_out(
    harness: ResidencyHarness, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process has the model already and is being measured: its time in memory has not even begun."""
    gate = asyncio.Event()

    async def measure(runner: FakeRunner, seconds: float = 0.0) -> int:
        if runner.model == A and not seconds:
            await gate.wait()
        return 0

    monkeypatch.setattr(FakeRunner, "measure", measure)
    loading = LeaseHolder(harness, A)
    await until(lambda: harness.fleet.loads == [A])
    newcomer = LeaseHolder(harness, B)
    await settle()
    await clock.advance(3.1)
    gate.set()
    await loading.entered()
    assert not newcomer.inside.is_set()
    await loading.left()
    await (await newcomer.entered()).left()


async def test_the_queue_for_a_model_that_is_on_its_way_out_is_bounded(harness: ResidencyHarness, clock: Clock) -> None:
    running = await busy(harness, clock, A)
    newcomer = LeaseHolder(harness, B)
    await settle()
    await clock.advance(3.1)
    late = [LeaseHolder(harness, A) for _ in range(4)]
    await until(lambda: harness.residency.queue.waiting == 4)
    with pytest.raises(QueueFull):
        await harness.use_once(A)
    await running.left()
    await (await newcomer.entered()).left()
    for holder in late:
        holder.leave.set()
    await soon(asyncio.gather(*(holder.task for holder in late)))


async def test_newcomers_take_turns_in_their_order(harness: ResidencyHarness, clock: Clock) -> None:
    """Two wait for the same room: the second does not overtake, though its time is over too."""
    running = await busy(harness, clock, A)
    first = LeaseHolder(harness, B)
    await settle()
    second = LeaseHolder(harness, C)
    await settle()
    await clock.advance(20)
    await running.left()
    await first.entered()
    assert not second.inside.is_set()
    await first.left()
    await (await second.entered()).left()
    assert harness.fleet.loads == [A, B, C]


async def test_a_newcomer_that_nobody_waits_for_any_more_closes_nobody(harness: ResidencyHarness, clock: Clock) -> None:
    """Its clients have left: the busy model goes on, and the newcomer comes in when that is idle."""
    running = await busy(harness, clock, A)
    newcomer = LeaseHolder(harness, B)
    await settle()
    newcomer.task.cancel()
    await clock.advance(60)
    await (await LeaseHolder(harness, A).entered()).left()
    assert harness.fleet.loads == [A]
    await running.left()
    await until(lambda: harness.names == [B])
