"""models.auto_download: a request for a model of the hub waits for its pull, and whoever waits counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.remote import RemoteStore
from fakes.runner import Fleet
from support.residency_harness import use
from support.waiting import GUARD, until

from mlx_serve.daemon.errors import PullStopped, QueueFull
from mlx_serve.daemon.residency.residency import Residency
from mlx_serve.daemon.residency.slot import Model
from mlx_serve.daemon.residency.spare import Spare
from mlx_serve.daemon.settings.effective_settings import load_settings
from mlx_serve.daemon.tasks.pulls import PullOrder, Pulls
from mlx_serve.store.errors import RepositoryNotFound, UnknownModel

NEW = "acme/new"


class Setup:
    def __init__(self, home: Path, *, on: bool = True, places: int = 100) -> None:
        settings = load_settings({}, {"MLX_SERVE_HOME": str(home)})
        settings = replace(
            settings,
            models=replace(settings.models, auto_download=on, aliases={"mine": NEW}),
            engine=replace(settings.engine, max_batch=1),
            server=replace(settings.server, max_queue=places - 1),
        )
        quantizing: Any = None
        self.store, self.fleet = RemoteStore(), Fleet()
        self.pulls = Pulls(self.store, quantizing)  # type: ignore[arg-type]
        self.residency = Residency(settings, self.store, Spare(self.fleet.spawn), pulls=self.pulls)  # type: ignore[arg-type]

    def ask(self, name: str = NEW) -> asyncio.Task[str]:
        async def lease() -> str:
            async with use(self.residency, name) as model:
                held: Model = model
                return held.installed.name.display()

        return asyncio.create_task(lease())

    async def pulling(self) -> None:
        assert await asyncio.to_thread(self.store.began.acquire, timeout=GUARD)


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Callable[..., Setup]]:
    made: list[Setup] = []

    def make(**facts: Any) -> Setup:
        made.append(Setup(tmp_path, **facts))
        return made[-1]

    yield make
    for each in made:
        await asyncio.wait_for(each.pulls.close(), GUARD)
        await asyncio.wait_for(each.residency.close(), GUARD)


@pytest.mark.parametrize("name", [NEW, "mine", "starter", "new"])
async def test_it_is_off_unless_it_is_switched_on(build: Callable[..., Setup], name: str) -> None:
    setup = build(on=False)
    with pytest.raises(UnknownModel):
        await setup.ask(name)
    assert setup.store.pulls == []


@pytest.mark.parametrize("name", ["new", "gpt-4", "local/new:x"])
async def test_what_no_repository_is_called_stays_unknown(build: Callable[..., Setup], name: str) -> None:
    setup = build()
    with pytest.raises(UnknownModel):
        await setup.ask(name)
    assert setup.store.pulls == []


async def test_all_who_wait_get_the_model(build: Callable[..., Setup]) -> None:
    """Those who name it in full and with its tag, and one who pulls it by hand."""
    setup = build()
    asked = [setup.ask(), setup.ask(), setup.ask(f"{NEW}:latest"), asyncio.create_task(setup.pulls.run(PullOrder(NEW)))]
    await setup.pulling()
    await until(lambda: setup.residency._resolver._waiting == 3)
    setup.store.steps.put(None)
    async with asyncio.timeout(GUARD):
        names = await asyncio.gather(*asked[:3])
        await asked[3]
    assert names == [NEW] * 3 and setup.store.pulls == [NEW] and setup.fleet.loads == [NEW]


async def test_a_repository_that_has_moved_is_pulled_once(build: Callable[..., Setup]) -> None:
    """It is stored under the name that the hub gives it now."""
    setup = build()
    setup.store.renamed["acme/old"] = NEW
    asked = setup.ask("acme/old")
    await setup.pulling()
    setup.store.steps.put(None)
    assert await asyncio.wait_for(asked, GUARD) == NEW
    assert await asyncio.wait_for(setup.ask("Acme/old"), GUARD) == NEW
    assert setup.store.pulls == ["acme/old"]


async def test_one_may_hang_up(build: Callable[..., Setup]) -> None:
    setup = build()
    first, second = setup.ask(), setup.ask()
    await setup.pulling()
    first.cancel()
    await asyncio.wait([first])
    setup.store.steps.put(None)
    assert await asyncio.wait_for(second, GUARD) == NEW


async def test_when_all_have_hung_up_the_pull_ends(build: Callable[..., Setup]) -> None:
    setup = build()
    asked = [setup.ask(), setup.ask()]
    await setup.pulling()
    for task in asked:
        task.cancel()
    await asyncio.wait(asked)
    assert await asyncio.to_thread(setup.store.ended.acquire, timeout=GUARD)


async def test_all_who_wait_are_told_why_there_is_none(build: Callable[..., Setup]) -> None:
    setup = build()
    asked = [setup.ask(), setup.ask()]
    await setup.pulling()
    setup.store.steps.put(RepositoryNotFound("there is no acme/new"))
    for task in asked:
        with pytest.raises(RepositoryNotFound):
            await asyncio.wait_for(task, GUARD)


async def test_not_more_than_the_queue_may_wait(build: Callable[..., Setup]) -> None:
    setup = build(places=2)
    asked = [setup.ask(), setup.ask()]
    await setup.pulling()
    with pytest.raises(QueueFull):
        await asyncio.wait_for(setup.ask(), GUARD)
    setup.store.steps.put(None)
    await asyncio.wait_for(asyncio.gather(*asked), GUARD)


async def test_a_daemon_that_stops_says_so(build: Callable[..., Setup]) -> None:
    setup = build()
    asked = setup.ask()
    await setup.pulling()
    await setup.pulls.close()
    with pytest.raises(PullStopped):
        await asyncio.wait_for(asked, GUARD)
