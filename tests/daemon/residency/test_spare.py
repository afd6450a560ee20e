"""The warm spare process is taken by the next load and replaced."""

from __future__ import annotations

from support.residency_harness import A, B, Build
from support.waiting import settle


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
