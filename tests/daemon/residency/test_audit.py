"""When no request is open the counts agree; when they do not, the log says so once, with the numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.residency_harness import MB, A, B, Build, LeaseHolder, ResidencyHarness
from support.waiting import until

Break = Callable[[ResidencyHarness], None]


def audits(harness: ResidencyHarness, caplog: pytest.LogCaptureFixture) -> list[str]:
    harness.residency.audit()
    return [line for line in caplog.messages if line.startswith("fail audit")]


async def test_all_agrees_at_rest(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """Before the first model, with models, after they have gone; and an explicit load holds a lease of its own."""
    harness = build(models={"memory_limit": 500 * MB})
    assert audits(harness, caplog) == []
    for name in (A, B):
        await harness.use_once(name)
    assert audits(harness, caplog) == []
    await harness.unload(A)
    harness.fleet.hold(A)
    holder = LeaseHolder(harness, A)
    await until(lambda: harness.fleet.loads.count(A) == 2)
    harness.fleet.gates[A].set()
    await (await holder.entered()).left()
    assert audits(harness, caplog) == []


async def test_an_explicit_load_under_way_is_no_leak(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    harness = build()
    gate = harness.fleet.hold(A)
    loading = asyncio.ensure_future(harness.load(A))
    await until(lambda: harness.fleet.loads == [A])
    assert audits(harness, caplog) == []
    gate.set()
    await loading


def lose_a_lease(harness: ResidencyHarness) -> None:
    next(iter(harness.residency._slots)).take(None)


def lose_a_sink(harness: ResidencyHarness) -> None:
    harness.fleet.of(A)[0].busy = 2


def give_too_much(harness: ResidencyHarness) -> None:
    next(iter(harness.residency._slots)).share *= 3


@pytest.mark.parametrize(
    ("broken", "numbers"),
    [(lose_a_lease, "leases=1 loads=0 sinks=0"), (lose_a_sink, "leases=0 loads=0 sinks=2"), (give_too_much, "shares=")],
)
async def test_a_count_that_is_wrong_is_logged_once(
    build: Build, caplog: pytest.LogCaptureFixture, broken: Break, numbers: str
) -> None:
    harness = build(models={"memory_limit": 500 * MB})
    await harness.use_once(A)
    broken(harness)
    (line,) = audits(harness, caplog)
    assert numbers in line and f"limit={500 * MB}" in line
    assert audits(harness, caplog) == [line]
