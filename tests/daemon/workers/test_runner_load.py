"""Children that do not start or cannot load their model."""

from __future__ import annotations

import asyncio

import pytest
from support.runner_process import alive, load, spawn
from support.waiting import GUARD

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
        await asyncio.wait_for(one.load(load(name)), GUARD)
    assert type(caught.value) is kind
    assert name in str(caught.value)
    assert ("it is " in str(caught.value)) or "exit status 9" in str(caught.value)
    await one.close()


async def test_a_child_that_cannot_start() -> None:
    """Its imports fail: the load says so, with its exit status, and what it wrote is in the log."""
    one = await spawn("die")
    with pytest.raises(RunnerDied, match="exit status 7"):
        await asyncio.wait_for(one.load(load("acme/model")), GUARD)
    await one.close()


async def test_a_child_of_another_version() -> None:
    one = await spawn("old")
    with pytest.raises(RunnerDied, match=f"protocol {PROTOCOL + 1}"):
        await asyncio.wait_for(one.load(load("acme/model")), GUARD)
    await asyncio.wait_for(one.dead.wait(), GUARD)
    await one.close()


async def test_a_child_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "START_SECONDS", 0.3)
    one = await spawn("silent")
    with pytest.raises(RunnerDied, match="it did not start within"):
        await asyncio.wait_for(one.load(load("acme/model")), GUARD)
    await asyncio.wait_for(one.dead.wait(), GUARD)
    await one.close()


async def test_garbage_at_the_start() -> None:
    one = await spawn("garbage")
    with pytest.raises(RunnerDied, match="it sent an invalid frame"):
        await asyncio.wait_for(one.load(load("acme/model")), GUARD)
    await one.close()
    assert not alive(one.pid)
