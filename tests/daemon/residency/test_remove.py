"""Removing a model that is in use: nobody new gets in, who is in may finish, then memory and disk are free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.runner import Fleet
from fakes.store import FakeStore

from mlx_serve.daemon.residency.remove import remove
from mlx_serve.daemon.residency.residency import Residency
from mlx_serve.daemon.residency.spare import Spare
from mlx_serve.daemon.settings.schema import load_settings
from mlx_serve.store.errors import DamagedModel, StoreBusy, UnknownModel
from mlx_serve.store.installed import Installed, Removed
from mlx_serve.store.names import Name

GUARD = 10
A, B = "acme/a", "acme/b"


class Shelf(FakeStore):
    """Notes what may go from the disk: `swept` are the manifests that were to stay, at each sweep."""

    def __init__(self) -> None:
        super().__init__()
        self.swept: list[set[str]] = []
        self.busy = False

    def models(self) -> list[Installed]:
        return list(self.models_by_name.values())

    def find(self, text: str) -> Installed:
        return super().find(Name.parse(text).display())

    def remove(self, name: str, protect: Collection[str] = ()) -> Removed:
        gone = self.models_by_name.pop(Name.parse(name).display())
        self.swept.append(set(protect))
        return Removed(gone.name, gone.digest)

    def gc(self, dry_run: bool, protect: Collection[str]) -> None:
        if self.busy:
            raise StoreBusy("a pull runs")
        self.swept.append(set(protect))


class Place:
    def __init__(self, home: Path) -> None:
        self.fleet, self.store = Fleet(), Shelf()
        self.digest = self.store.add(A).digest
        settings = load_settings({}, {"MLX_SERVE_HOME": str(home)})
        self.residency = Residency(settings, self.store, Spare(self.fleet.spawn))  # type: ignore[arg-type]

    def use(self, name: str = A) -> Any:
        return self.residency.use(name)

    def remove(self, name: str = A) -> asyncio.Task[Removed]:
        store: Any = self.store
        return asyncio.create_task(remove(store, self.residency, name))

    async def gone(self, name: str = A) -> None:
        """Returns when the name is."""
        async with asyncio.timeout(GUARD):
            while name in self.store.models_by_name:
                await asyncio.sleep(0)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    await asyncio.wait_for(made.residency.close(), GUARD)
    assert made.fleet.left == []


async def test_a_request_in_it_may_finish_and_nobody_new_gets_in(place: Place) -> None:
    async with asyncio.timeout(GUARD):
        async with place.use() as model:
            removal = place.remove()
            await place.gone()
            with pytest.raises(UnknownModel):
                await place.use().__aenter__()
            assert not removal.done() and model.entry.runner.alive
            assert place.store.swept == [{place.digest}]
        assert (await removal).name == Name("acme", "a")
    assert place.residency.resident() == []
    assert place.store.swept == [{place.digest}, set()]


async def test_one_that_is_on_its_way_in_arrives_first(place: Place) -> None:
    """Its files stay until then."""
    gate = place.fleet.gates[A] = asyncio.Event()
    visit = asyncio.create_task(place.use().__aenter__())
    async with asyncio.timeout(GUARD):
        while not place.residency.in_use:
            await asyncio.sleep(0)
        removal = place.remove()
        await place.gone()
        assert place.store.swept == [{place.digest}]
        gate.set()
        model = await visit
        assert not removal.done()
        place.residency.release(model.entry, None)
        await removal
    assert place.store.swept[-1] == set()


async def test_a_model_with_another_name_stays_in_memory(place: Place) -> None:
    place.store.models_by_name[B] = replace(place.store.find(A), name=Name.parse(B))
    async with asyncio.timeout(GUARD), place.use():
        await place.remove(B)
        assert [resident.name for resident in place.residency.resident()] == [A]
    assert place.store.swept == [{place.digest}]


async def test_one_that_is_not_in_memory_is_simply_gone(place: Place) -> None:
    await asyncio.wait_for(place.remove(), GUARD)
    assert place.store.swept == [set()]


async def test_a_damaged_one_can_be_removed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(text: str) -> Installed:
        raise DamagedModel("its manifest is gone")

    monkeypatch.setattr(place.store, "find", damaged)
    await asyncio.wait_for(place.remove(), GUARD)
    assert place.store.models_by_name == {}


async def test_while_a_pull_runs_the_files_wait_for_the_next_sweep(place: Place) -> None:
    place.store.busy = True
    async with asyncio.timeout(GUARD):
        async with place.use():
            removal = place.remove()
            await place.gone()
        await removal
    assert place.residency.resident() == []


async def test_who_no_longer_waits_for_it_has_removed_it_all_the_same(place: Place) -> None:
    async with asyncio.timeout(GUARD):
        async with place.use():
            removal = place.remove()
            await place.gone()
            removal.cancel()
            await asyncio.wait([removal])
        while place.residency.resident():
            await asyncio.sleep(0)
