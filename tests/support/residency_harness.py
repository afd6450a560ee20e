"""A residency over fake runners and a fake store, tasks that hold leases in it, and a clock that tests move."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from fakes.runner import FakeRunner, Fleet
from fakes.store import FakeStore
from support.waiting import GUARD, settle

from mlx_serve.daemon.keep_awake import KeepAwake
from mlx_serve.daemon.memory_pressure import Level
from mlx_serve.daemon.protocol import Kind
from mlx_serve.daemon.residency import backoff
from mlx_serve.daemon.residency.lease import Resident
from mlx_serve.daemon.residency.residency import Residency
from mlx_serve.daemon.residency.slot import Model
from mlx_serve.daemon.residency.spare import Spare
from mlx_serve.daemon.settings.schema import Settings
from mlx_serve.daemon.tasks.pulls import Pulls
from mlx_serve.store.disk.manifests import KINDS

A, B, C, D = "acme/a", "acme/b", "acme/c", "acme/d"
VECTORS = "acme/vectors"
MB = 1 << 20


class ResidencyHarness:
    """A residency over a fleet of fake runners and a store of four language models and an embedding model. `served`:
    the kinds that the engine has workers for. `pressure` is what the system says of the machine's memory."""

    def __init__(
        self,
        settings: Settings,
        served: Collection[Kind] = KINDS,
        keep_awake: KeepAwake | None = None,
        **sections: dict[str, Any],
    ) -> None:
        for section, values in sections.items():
            settings = replace(settings, **{section: replace(getattr(settings, section), **values)})
        self.fleet = Fleet()
        self.store = FakeStore()
        for name in (A, B, C, D):
            self.store.add(name)
        self.store.add(VECTORS, kind="embedding")
        quantizing: Any = None
        self.pulls = Pulls(self.store, quantizing)  # type: ignore[arg-type]
        self.pressure: Level = "normal"
        self.residency = Residency(
            settings,
            self.store,  # type: ignore[arg-type]
            Spare(self.fleet.spawn),
            pulls=self.pulls,
            served=served,
            keep_awake=keep_awake,
            pressure=lambda: self.pressure,
        )

    def use(self, name: str, **options: Any) -> Any:
        return use(self.residency, name, **options)

    async def load(self, name: str, **options: Any) -> Resident:
        return await self.residency.load(await self.residency.find(name), **options)

    async def unload(self, name: str) -> bool:
        return await self.residency.unload(self.store.find(name))

    async def use_once(self, name: str, **options: Any) -> FakeRunner:
        """Use a model for a moment; gives the runner that was there."""
        async with asyncio.timeout(GUARD), self.use(name, **options) as model:
            return runner_of(model)

    @property
    def names(self) -> list[str]:
        return [resident.name for resident in self.residency.resident()]

    def resident(self, name: str) -> Resident:
        return next(one for one in self.residency.resident() if one.name == name)


@asynccontextmanager
async def use(residency: Residency, name: str, **options: Any) -> AsyncIterator[Model]:
    """A lease by name, as a request takes one."""
    async with residency.use(await residency.find(name), **options) as model:
        yield model


def runner_of(model: Model) -> FakeRunner:
    runner: Any = model.slot.runner
    return runner  # type: ignore[no-any-return]


Build = Callable[..., ResidencyHarness]


class Clock:
    """Time as the loop and the timers see it, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = asyncio.get_running_loop()
        self.shift = 0.0
        real = self.loop.time
        monkeypatch.setattr(self.loop, "time", lambda: real() + self.shift)
        monkeypatch.setattr(backoff, "time", self)

    def monotonic(self) -> float:
        return time.monotonic() + self.shift

    def time(self) -> float:
        return time.time() + self.shift

    async def advance(self, seconds: float) -> None:
        """Whatever is due by then has happened when this returns."""
        self.shift += seconds
        await settle()


class LeaseHolder:
    """A task that holds a lease until it is told to go."""

    def __init__(self, harness: ResidencyHarness, name: str, **options: Any) -> None:
        self.inside = asyncio.Event()
        self.leave = asyncio.Event()
        self.model: Model | None = None
        self.task = asyncio.ensure_future(self._stay(harness, name, options))

    async def _stay(self, harness: ResidencyHarness, name: str, options: dict[str, Any]) -> None:
        async with harness.use(name, **options) as self.model:
            self.inside.set()
            await self.leave.wait()

    async def entered(self) -> LeaseHolder:
        inside = asyncio.ensure_future(self.inside.wait())
        await asyncio.wait([inside, self.task], timeout=GUARD, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            inside.cancel()
            self.task.result()
        assert self.inside.is_set()
        return self

    async def left(self) -> None:
        self.leave.set()
        await asyncio.wait_for(self.task, GUARD)
