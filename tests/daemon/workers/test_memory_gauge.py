"""What a child holds is measured off the event loop, and not more than once a second for those who only look."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
from support.waiting import soon, until

from mlx_serve.daemon.workers import memory_gauge
from mlx_serve.daemon.workers.memory_gauge import MemoryGauge


class System:
    """Measurements that a test lets finish one by one. `began` counts them, `threads` are where they ran."""

    def __init__(self) -> None:
        self.began = 0
        self.bytes = 0
        self.threads: set[int] = set()
        self.gate = threading.Semaphore(0)

    def read(self, pid: int) -> int:
        assert pid == 77
        self.began += 1
        self.threads.add(threading.get_ident())
        self.gate.acquire()
        return self.bytes


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the gauge's clock."""
    at = [1000.0]
    monkeypatch.setattr(memory_gauge, "time", type("Clock", (), {"monotonic": staticmethod(lambda: at[0])}))

    def move(seconds: float) -> None:
        at[0] += seconds

    return move


async def test_a_look_waits_for_nobody_and_measures_at_most_once_a_second(now: Callable[[float], None]) -> None:
    system = System()
    gauge = MemoryGauge(77, system.read)
    system.bytes = 5
    assert [gauge.value for _ in range(3)] == [0, 0, 0]
    await until(lambda: system.began == 1)
    system.gate.release()
    await until(lambda: gauge.value == 5)
    now(0.9)
    assert gauge.value == 5 and system.began == 1
    now(0.2)
    system.bytes = 6
    assert gauge.value == 5
    await until(lambda: system.began == 2)
    system.gate.release()
    await until(lambda: gauge.value == 6)
    assert threading.get_ident() not in system.threads


async def test_who_needs_the_present_gets_one_that_began_after_the_question(now: Callable[[float], None]) -> None:
    """One that runs already may have read before what matters happened."""
    system = System()
    gauge = MemoryGauge(77, system.read)
    system.bytes = 5
    first = asyncio.create_task(gauge.measure())
    await until(lambda: system.began == 1)
    now(0.5)
    second, recent = asyncio.create_task(gauge.measure()), asyncio.create_task(gauge.measure(1.0))
    await asyncio.sleep(0)
    system.gate.release()
    assert await soon(first) == await soon(recent) == 5
    await until(lambda: system.began == 2)
    assert not second.done()
    system.bytes = 6
    system.gate.release()
    assert await soon(second) == 6
    assert await soon(gauge.measure(1.0)) == 6 and system.began == 2


async def test_one_who_gives_up_ends_nobody_elses_measurement() -> None:
    system = System()
    gauge = MemoryGauge(77, system.read)
    gone, stays = asyncio.create_task(gauge.measure()), asyncio.create_task(gauge.measure(time.monotonic()))
    await until(lambda: system.began == 1)
    gone.cancel()
    await asyncio.wait([gone])
    system.bytes = 9
    system.gate.release()
    assert await soon(stays) == 9
