"""Residency over real child processes without models: killed, dying on load, unloaded."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from fakes.store import FakeStore
from support.residency_harness import A, B, use
from support.runner_process import FAKE
from support.streams import events_of
from support.waiting import GUARD, soon, until

from mlx_serve.daemon.errors import Draining, LoadError, Quarantined, RunnerDied
from mlx_serve.daemon.protocol import Generate, TextPrompt
from mlx_serve.daemon.residency import backoff
from mlx_serve.daemon.residency.residency import Residency
from mlx_serve.daemon.residency.spare import Spare
from mlx_serve.daemon.settings.effective_settings import load_settings
from mlx_serve.daemon.workers import runner
from mlx_serve.daemon.workers.runner import Runner


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[Callable[..., Residency]]:
    """A residency over real child processes without models."""
    made: list[Residency] = []
    settings = load_settings({}, {"MLX_SERVE_HOME": str(tmp_path)})

    def make(store: FakeStore) -> Residency:
        made.append(Residency(settings, store, Spare(partial(Runner.spawn, (FAKE,)))))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for residency in made:
        await asyncio.wait_for(residency.close(), GUARD)


async def test_a_process_is_killed_and_the_next_request_works(real: Callable[..., Residency]) -> None:
    """The stream ends with the cause, another model's goes on, and the model is loaded again."""
    store = FakeStore()
    for name in (A, B):
        store.add(name)
    residency = real(store)
    async with use(residency, A) as model, use(residency, B) as other:
        stream = events_of(model, Generate(prompt=TextPrompt(text="killed")))
        beside = events_of(other, Generate(prompt=TextPrompt(text="wait")))
        await anext(beside)
        with pytest.raises(RunnerDied, match="SIGKILL"):
            async for _ in stream:
                pass
        async with use(residency, A) as again:
            assert again.load_seconds > 0
            events = [event async for event in events_of(again, Generate(prompt=TextPrompt(text="hi there")))]
            assert events
        await anext(beside)
        await beside.aclose()


async def test_a_process_that_dies_on_load(real: Callable[..., Residency]) -> None:
    """Asked for explicitly it is tried each time; requests are held back with the count and the cause."""
    store = FakeStore()
    store.add("acme/dies")
    residency = real(store)
    model = await residency.find("acme/dies")
    for _ in range(2):
        with pytest.raises(LoadError, match="exit status 9"):
            await soon(residency.load(model))
    for match in ("exit status 9", "2 times lately .the last time: exit status 9"):
        with pytest.raises(LoadError, match=match):
            await soon(residency.use(model).__aenter__())


async def test_a_segfault_in_every_answer(real: Callable[..., Residency], monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty requests, each of which kills the process that serves it: three processes die, and the others are refused
    with the reason."""
    monkeypatch.setattr(backoff, "BACKOFF_SECONDS", (0.0,))
    store = FakeStore()
    store.add(A)
    residency = real(store)
    died = refused = 0
    for _ in range(20):
        try:
            async with use(residency, A) as model:
                stream = events_of(model, Generate(prompt=TextPrompt(text="wait")))
                await anext(stream)
                os.kill(next(iter(residency.resident())).pid, signal.SIGSEGV)
                async for _ in stream:
                    pass
        except RunnerDied as error:
            died += 1
            assert "SIGSEGV" in str(error)
        except Quarantined as error:
            refused += 1
            assert "3 times lately (the last time: killed by SIGSEGV)" in str(error)
            assert error.retry_after is not None and 590 <= error.retry_after <= 600
    assert (died, refused) == (3, 17)
    (shown,) = residency.quarantined()
    assert (shown.name, shown.deaths, residency.deaths) == (A, 3, {A: 3})


async def test_a_load_that_hangs_is_unloaded_at_once(
    real: Callable[..., Residency], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody who waits for it hears why; the process is killed, for it would not hear that it should quit."""
    monkeypatch.setattr(runner, "QUIT_SECONDS", 1000.0)
    store = FakeStore()
    store.add("acme/hangs")
    residency = real(store)
    model = await residency.find("acme/hangs")
    waiting = [asyncio.ensure_future(residency.load(model)) for _ in range(3)]
    await until(lambda: any(slot.runner is not None and slot.runner.loading for slot in residency._slots))
    assert await soon(residency.unload(model))
    for answer in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(answer, LoadError) and "unloaded while it was loading" in str(answer)
    assert not residency.in_use


async def test_stopping_during_a_load_ends_it_at_once(
    real: Callable[..., Residency], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "QUIT_SECONDS", 1000.0)
    store = FakeStore()
    store.add("acme/hangs")
    residency = real(store)
    waiting = asyncio.ensure_future(residency.load(await residency.find("acme/hangs")))
    await until(lambda: any(slot.runner is not None and slot.runner.loading for slot in residency._slots))
    await soon(residency.close())
    with pytest.raises(Draining):
        await waiting


async def test_unloading_ends_the_process(real: Callable[..., Residency]) -> None:
    store = FakeStore()
    store.add(A)
    residency = real(store)
    resident = await soon(residency.load(await residency.find(A)))
    assert Path(f"/proc/{resident.pid}").exists() or not Path("/proc/self").exists()
    assert await soon(residency.unload(await residency.find(A)))
    assert not Path(f"/proc/{resident.pid}").exists()
