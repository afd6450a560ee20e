"""A machine that runs out of memory: models give back what they keep for later, idle ones go, busy ones never do."""

from __future__ import annotations

import logging

import pytest
from support.residency_harness import MB, A, B, Build, Clock, LeaseHolder, ResidencyHarness
from support.waiting import until

from mlx_serve.daemon.memory_pressure import Level
from mlx_serve.daemon.protocol import Gauges
from mlx_serve.daemon.residency import pressure


async def look(harness: ResidencyHarness, clock: Clock, level: Level) -> None:
    """The system says so, and the next look is due."""
    harness.pressure = level
    await clock.advance(pressure.SECONDS)
    assert harness.residency.pressure == level


async def test_a_warning_shrinks_what_is_kept_for_later(build: Build, clock: Clock) -> None:
    """Of busy and of idle models, once; the limit is as it was, and nobody is unloaded. It ends with the pressure."""
    harness = build()
    idle = await harness.use_once(A)
    holder = await LeaseHolder(harness, B).entered()
    (busy,) = harness.fleet.of(B)
    before = [(len(one.limits), one.limits[-1:]) for one in (idle, busy)]
    await look(harness, clock, "warning")
    assert idle.tight and busy.tight
    await look(harness, clock, "warning")
    assert [len(one.limits) - count for one, (count, _) in zip((idle, busy), before, strict=True)] == [1, 1]
    assert sorted(harness.names) == [A, B]
    await look(harness, clock, "normal")
    assert not (idle.tight or busy.tight)
    assert idle.limits[-1] == idle.limits[-2]
    await holder.left()


async def test_free_buffers_count_as_what_a_model_holds(build: Build) -> None:
    """MLX's pool is memory that nobody else can have."""
    harness = build()
    runner = await harness.use_once(A)
    runner.gauges = Gauges(active_memory=30 * MB, cache_memory=12 * MB)
    assert harness.resident(A).memory_bytes == 42 * MB


async def test_a_model_that_comes_under_pressure_is_told_too(build: Build, clock: Clock) -> None:
    harness = build()
    await harness.use_once(A)
    await look(harness, clock, "warning")
    newcomer = await harness.use_once(B)
    await look(harness, clock, "warning")
    assert newcomer.tight


async def test_when_memory_is_critical_idle_models_go_and_busy_ones_stay(build: Build, clock: Clock) -> None:
    """The busy one goes when it is idle, if there is still no memory; a request brings a model back."""
    harness = build()
    idle = await harness.use_once(A)
    holder = await LeaseHolder(harness, B).entered()
    (busy,) = harness.fleet.of(B)
    await look(harness, clock, "critical")
    await until(lambda: idle.closed)
    assert harness.names == [B] and busy.alive and busy.tight
    await look(harness, clock, "critical")
    assert busy.alive
    await holder.left()
    await look(harness, clock, "critical")
    await until(lambda: busy.closed)
    assert harness.names == []
    harness.pressure = "normal"
    await harness.use_once(A)
    assert harness.names == [A]


async def test_no_spare_process_is_started_while_memory_is_critical(build: Build, clock: Clock) -> None:
    """Unloading makes room for one, but not for that. The next load starts what it needs."""
    harness = build(models={"memory_limit": 120 * MB})
    harness.fleet.process = 30 * MB
    for name in (A, B):
        harness.fleet.outcomes[name] = MB
    runner = await harness.use_once(A)
    await until(lambda: harness.fleet.left == [runner])
    await look(harness, clock, "critical")
    await until(lambda: runner.closed)
    assert harness.fleet.left == []
    await look(harness, clock, "normal")
    await harness.use_once(B)
    assert harness.names == [B]


async def test_a_model_that_is_loading_is_let_alone(build: Build, clock: Clock) -> None:
    harness = build()
    await harness.use_once(B)
    gate = harness.fleet.hold(A)
    waiting = LeaseHolder(harness, A)
    await until(lambda: A in harness.fleet.loads)
    await look(harness, clock, "critical")
    gate.set()
    await waiting.entered()
    await waiting.left()


async def test_each_change_is_logged_once(build: Build, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    harness = build()
    holder = await LeaseHolder(harness, A).entered()
    with caplog.at_level(logging.INFO, "mlx_serve.residency"):
        for level in ("warning", "warning", "critical", "critical", "normal", "normal"):
            await look(harness, clock, level)  # type: ignore[arg-type]
    lines = [record.getMessage() for record in caplog.records if "memory pressure" in record.getMessage()]
    assert lines == [
        "change memory pressure level=warning before=normal",
        "change memory pressure level=critical before=warning",
        "change memory pressure level=normal before=critical",
    ]
    await holder.left()


async def test_a_daemon_without_models_does_not_look(build: Build, clock: Clock) -> None:
    """It wakes up for nothing; but once it has seen pressure it looks until that is over."""
    harness = build()
    harness.pressure = "critical"
    await clock.advance(10 * pressure.SECONDS)
    assert harness.residency.pressure == "normal"
    await harness.use_once(A)
    await look(harness, clock, "critical")
    await until(lambda: harness.names == [])
    await look(harness, clock, "normal")
    harness.pressure = "warning"
    await clock.advance(10 * pressure.SECONDS)
    assert harness.residency.pressure == "normal"
