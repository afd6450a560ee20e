"""Removing a model that is in use: nobody new gets in, who is in may finish, then memory and disk are free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.runner import Fleet
from fakes.store import FakeStore
from support.residency_harness import use
from support.waiting import GUARD

from mlx_serve.daemon.errors import LoadError
from mlx_serve.daemon.residency.remove import remove
from mlx_serve.daemon.residency.residency import Residency
from mlx_serve.daemon.residency.spare import Spare
from mlx_serve.daemon.settings.effective_settings import load_settings
from mlx_serve.store.errors import DamagedModel, UnknownModel
from mlx_serve.store.installed import Installed, Removed
from mlx_serve.store.names import Name

A, B = "acme/a", "acme/b"


class Setup:
    def __init__(self, home: Path) -> None:
        self.fleet, self.store = Fleet(), FakeStore()
        self.digest = self.store.add(A).digest
        settings = load_settings({}, {"MLX_SERVE_HOME": str(home)})
        self.residency = Residency(settings, self.store, Spare(self.fleet.spawn))  # type: ignore[arg-type]

    def use(self, name: str = A) -> Any:
        return use(self.residency, name)

    def remove(self, name: str = A) -> asyncio.Task[Removed]:
        store: Any = self.store
        return asyncio.create_task(remove(store, self.residency, name))

    async def gone(self, name: str = A) -> None:
        """Returns when the name is."""
        async with asyncio.timeout(GUARD):
            while name in self.store.models_by_name:
                await asyncio.sleep(0)


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    made = Setup(tmp_path)
    yield made
    await asyncio.wait_for(made.residency.close(), GUARD)
    assert made.fleet.left == []


async def test_a_request_in_it_may_finish_and_nobody_new_gets_in(setup: Setup) -> None:
    async with asyncio.timeout(GUARD):
        async with setup.use() as model:
            removal = setup.remove()
            await setup.gone()
            with pytest.raises(UnknownModel):
                await setup.use().__aenter__()
            assert not removal.done() and model.slot.runner.alive
            assert setup.store.swept == [{setup.digest}]
        assert (await removal).name == Name("acme", "a")
    assert setup.residency.resident() == []
    assert setup.store.swept == [{setup.digest}, set()]


async def test_one_that_is_on_its_way_in_goes_at_once(setup: Setup) -> None:
    """Whoever waits for it is told; its files go when its process is gone."""
    setup.fleet.gates[A] = asyncio.Event()
    visit = asyncio.create_task(setup.use().__aenter__())
    async with asyncio.timeout(GUARD):
        while not setup.residency.in_use:
            await asyncio.sleep(0)
        await setup.remove()
        with pytest.raises(LoadError, match="unloaded while it was loading"):
            await visit
    assert setup.store.swept[-1] == set()


async def test_a_model_with_another_name_stays_in_memory(setup: Setup) -> None:
    setup.store.models_by_name[B] = replace(setup.store.find(A), name=Name.parse(B))
    async with asyncio.timeout(GUARD), setup.use():
        await setup.remove(B)
        assert [resident.name for resident in setup.residency.resident()] == [A]
    assert setup.store.swept == [{setup.digest}]


async def test_one_that_is_not_in_memory_is_simply_gone(setup: Setup) -> None:
    await asyncio.wait_for(setup.remove(), GUARD)
    assert setup.store.swept == [set()]


async def test_a_damaged_one_can_be_removed(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(text: str) -> Installed:
        raise DamagedModel("its manifest is gone")

    monkeypatch.setattr(setup.store, "find", damaged)
    await asyncio.wait_for(setup.remove(), GUARD)
    assert setup.store.models_by_name == {}


async def test_while_a_pull_runs_the_files_wait_for_the_next_sweep(setup: Setup) -> None:
    setup.store.busy = True
    async with asyncio.timeout(GUARD):
        async with setup.use():
            removal = setup.remove()
            await setup.gone()
        await removal
    assert setup.residency.resident() == []


async def test_who_no_longer_waits_for_it_has_removed_it_all_the_same(setup: Setup) -> None:
    async with asyncio.timeout(GUARD):
        async with setup.use():
            removal = setup.remove()
            await setup.gone()
            removal.cancel()
            await asyncio.wait([removal])
        while setup.residency.resident():
            await asyncio.sleep(0)


async def test_a_quarantine_goes_with_the_last_name(setup: Setup) -> None:
    """`ps` and the metrics tell of no model that is not there, and the same model pulled again may be tried."""
    failures = setup.residency._loader.failures
    setup.store.copy(A, B)
    for _ in range(3):
        failures.died(setup.store.find(A).base, A, "a test", loading=True)
    assert [one.name for one in setup.residency.quarantined()] == [A]
    await setup.remove(A)
    assert setup.residency.quarantined(), "the other name is the same model"
    await setup.remove(B)
    assert setup.residency.quarantined() == []
