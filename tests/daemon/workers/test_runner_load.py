"""Children that do not start or cannot load their model."""

from __future__ import annotations

import asyncio

import pytest
from support.runner_process import alive, load, spawn
from support.waiting import GUARD, until

from mlx_serve.daemon.errors import InsufficientMemory, LoadError, RunnerDied, UnsupportedByModel
from mlx_serve.daemon.protocol import PROTOCOL
from mlx_serve.daemon.workers import runner


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("acme/damaged", LoadError),
        ("acme/unsupported", UnsupportedByModel),
        ("acme/large", InsufficientMemory),
        ("acme/broken", LoadError),
        ("acme/dies", RunnerDied),
    ],
)
async def test_models_that_do_not_load(name: str, kind: type[Exception]) -> None:
    """Whose fault it is tells the type, and the sentence has the model's name and the child's reason."""
    one = await spawn()
    with pytest.raises(kind) as caught:
        await asyncio.wait_for(one.load(load(name), GUARD), GUARD)
    assert type(caught.value) is kind
    assert name in str(caught.value)
    assert ("it is " in str(caught.value)) or "exit status 9" in str(caught.value)
    await one.close()


async def test_a_child_that_cannot_start() -> None:
    """Its imports fail: the load says so, with its exit status, and what it wrote is in the log."""
    one = await spawn("die")
    with pytest.raises(RunnerDied, match="exit status 7"):
        await asyncio.wait_for(one.load(load("acme/model"), GUARD), GUARD)
    await one.close()


async def test_a_child_of_another_version() -> None:
    one = await spawn("old")
    with pytest.raises(RunnerDied, match=f"protocol {PROTOCOL + 1}"):
        await asyncio.wait_for(one.load(load("acme/model"), GUARD), GUARD)
    await asyncio.wait_for(one.dead.wait(), GUARD)
    await one.close()


async def test_a_child_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "START_SECONDS", 0.3)
    one = await spawn("silent")
    with pytest.raises(RunnerDied, match="it did not start within"):
        await asyncio.wait_for(one.load(load("acme/model"), GUARD), GUARD)
    await asyncio.wait_for(one.dead.wait(), GUARD)
    await one.close()


async def test_garbage_at_the_start() -> None:
    one = await spawn("garbage")
    with pytest.raises(RunnerDied, match="it sent an invalid frame"):
        await asyncio.wait_for(one.load(load("acme/model"), GUARD), GUARD)
    await one.close()
    assert not alive(one.pid)


async def test_a_load_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is stopped, or deep in one call: without a sign of life it is not waited for."""
    monkeypatch.setattr(runner, "LOAD_SILENT_SECONDS", 0.3)
    one = await spawn()
    with pytest.raises(RunnerDied, match="no sign of life for 0 s while loading"):
        await asyncio.wait_for(one.load(load("acme/hangs"), 1000), GUARD)
    await asyncio.wait_for(one.dead.wait(), GUARD)
    assert not alive(one.pid)
    await one.close()


async def test_a_load_that_never_ends() -> None:
    """The child says that it is at work, for longer than a load of its size may take."""
    one = await spawn()
    with pytest.raises(RunnerDied, match="it did not load within 1 s"):
        await asyncio.wait_for(one.load(load("acme/endless"), 0.6), GUARD)
    await asyncio.wait_for(one.dead.wait(), GUARD)
    await one.close()


async def test_signs_of_life_keep_a_slow_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed for the deadline's sake only, though that is several silences long."""
    monkeypatch.setattr(runner, "LOAD_SILENT_SECONDS", 0.4)
    one = await spawn()
    with pytest.raises(RunnerDied, match="did not load within"):
        await asyncio.wait_for(one.load(load("acme/endless"), 1.6), GUARD)
    await one.close()


async def test_closing_a_child_that_loads_kills_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would not hear that it should quit; whoever waits for the load is told."""
    monkeypatch.setattr(runner, "QUIT_SECONDS", 1000.0)
    one = await spawn()
    loading = asyncio.ensure_future(one.load(load("acme/hangs"), 1000))
    await until(lambda: one.loading)
    await asyncio.wait_for(one.close(), GUARD)
    with pytest.raises(RunnerDied, match="SIGKILL"):
        await loading
