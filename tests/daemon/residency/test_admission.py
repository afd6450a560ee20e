"""How many requests may run and wait, and what a full queue answers."""

from __future__ import annotations

import pytest
from support.residency_harness import A, B, Build, LeaseHolder
from support.waiting import until

from mlx_serve.daemon.errors import QueueFull


async def test_a_full_queue_refuses_at_once(build: Build) -> None:
    """Two run, one waits; the fourth hears when to come again, and those inside are not disturbed."""
    harness = build(engine={"max_batch": 2}, server={"max_queue": 1})
    holders = [await LeaseHolder(harness, A).entered() for _ in range(3)]
    with pytest.raises(QueueFull) as caught:
        await harness.use_once(A)
    assert 1 <= caught.value.retry_after <= 60
    await harness.use_once(B)
    await holders[0].left()
    await harness.use_once(A)
    for holder in holders[1:]:
        await holder.left()


async def test_the_queue_is_bounded_while_a_model_loads(build: Build) -> None:
    harness = build(engine={"max_batch": 1}, server={"max_queue": 2})
    harness.fleet.hold(A)
    holders = [LeaseHolder(harness, A) for _ in range(3)]
    await until(lambda: harness.residency.queue.waiting == 2)
    with pytest.raises(QueueFull):
        await harness.use_once(A)
    harness.fleet.gates[A].set()
    for holder in holders:
        await (await holder.entered()).left()
