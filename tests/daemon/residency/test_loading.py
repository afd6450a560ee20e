"""A model is loaded once for all who ask, goes on when they leave, and is told what the settings say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fakes.runner import FakeRunner
from support.residency_harness import MB, A, B, Build, C, Clock, LeaseHolder, runner_of
from support.waiting import soon, until

from mlx_serve.daemon import store_threads
from mlx_serve.daemon.errors import LoadError, RunnerDied
from mlx_serve.daemon.protocol import Hello
from mlx_serve.store.errors import UnknownModel


async def test_a_hundred_ask_and_one_load_happens(build: Build) -> None:
    harness = build()
    gate = harness.fleet.hold(A)
    holders = [LeaseHolder(harness, A) for _ in range(100)]
    await until(lambda: harness.residency.queue.running + harness.residency.queue.waiting == 100)
    gate.set()
    await asyncio.gather(*(holder.entered() for holder in holders))
    assert harness.fleet.loads == [A]
    assert harness.store.views == [A]
    assert len({runner_of(holder.model).pid for holder in holders if holder.model}) == 1
    assert all(holder.model.load_seconds > 0 for holder in holders if holder.model)
    await asyncio.gather(*(holder.left() for holder in holders))
    async with harness.use(A) as model:
        assert model.load_seconds == 0


async def test_the_first_may_leave(build: Build) -> None:
    """Whoever caused the load hangs up: it goes on for the others."""
    harness = build()
    gate = harness.fleet.hold(A)
    first, second = LeaseHolder(harness, A), LeaseHolder(harness, A)
    await until(lambda: harness.fleet.loads == [A])
    first.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first.task
    gate.set()
    await second.entered()
    assert harness.fleet.loads == [A]
    await second.left()


async def test_all_may_leave(build: Build, clock: Clock) -> None:
    """The load is finished for whoever comes next, and its time runs."""
    harness = build()
    gate = harness.fleet.hold(A)
    holder = LeaseHolder(harness, A)
    await until(lambda: harness.fleet.loads == [A])
    holder.task.cancel()
    gate.set()
    await until(lambda: harness.names == [A])
    assert harness.resident(A).running == 0
    await harness.use_once(A)
    assert harness.fleet.loads == [A]
    await clock.advance(1801)
    assert harness.names == []


async def test_what_the_child_is_told(build: Build) -> None:
    harness = build(engine={"max_batch": 3, "prefill_tokens_per_step": 99, "context_length": 2048})
    runner = await harness.use_once(A)
    request = runner.request
    assert request is not None
    assert (request.path, request.name, request.kind) == ("/nowhere/acme/a", A, "llm")
    assert (request.max_batch, request.prefill_tokens_per_step, request.context_length) == (3, 99, 2048)
    assert request.memory_limit == harness.fleet.memory


@pytest.mark.parametrize(("given", "budget", "bits"), [(None, None, None), (300, 300 << 20, None), (300, 300 << 20, 8)])
async def test_where_prompts_are_kept_on_disk(
    build: Build, given: int | None, budget: int | None, bits: int | None
) -> None:
    """In the user's own folder, under the digest of the model's files, within what the setting says, and as it says."""
    harness = build(cache={"prefix_disk_mb": given} | ({} if bits is None else {"prefix_bits": str(bits)}))
    runner = await harness.use_once(A)
    assert runner.request is not None and runner.request.files is not None
    files = runner.request.files
    assert Path(files.folder).parts[-2:] == ("cache", "prompts") and (files.budget, files.bits) == (budget, bits)
    assert files.model == harness.store.find(A).base


async def test_no_prompt_is_kept_on_disk_where_the_setting_says_so(build: Build) -> None:
    runner = await build(cache={"prefix_disk_mb": 0}).use_once(A)
    assert runner.request is not None and runner.request.files is None


async def test_a_load_has_a_deadline_from_its_size(build: Build) -> None:
    """A minute, and what 20 MB a second take."""
    harness = build()
    assert (await harness.use_once(A)).seconds == pytest.approx(60.075)
    harness.store.add(B, size=200_000_000)
    assert (await harness.use_once(B)).seconds == 70


async def test_two_names_of_one_model_share_it(build: Build) -> None:
    harness = build()
    harness.store.add("acme/alias", digest=harness.store.find(A).digest)
    assert await harness.use_once(A) is await harness.use_once("acme/alias")


async def test_an_unknown_model(build: Build) -> None:
    with pytest.raises(UnknownModel):
        await build().use_once("acme/none")


async def test_a_missing_model_is_pulled_once(build: Build) -> None:
    """With auto_download, for all who ask."""
    harness = build(models={"auto_download": True})
    await asyncio.gather(*(harness.use_once("acme/new") for _ in range(10)))
    assert harness.store.pulls == ["acme/new"]
    assert harness.fleet.loads == ["acme/new"]


async def test_what_came_while_it_was_looked_for_is_not_pulled_again(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another request's pull ends after the store was read, and before this one hears of that."""
    harness = build(models={"auto_download": True})
    get, looked, go_on = store_threads.SharedLooks.get, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        try:
            return await get(*arguments)
        finally:
            if not looked.is_set():
                looked.set()
                await go_on.wait()

    monkeypatch.setattr(store_threads.SharedLooks, "get", slow)
    late = asyncio.ensure_future(harness.use_once("acme/new"))
    await asyncio.wait_for(looked.wait(), 10)
    await harness.use_once("acme/new")
    go_on.set()
    await late
    assert harness.store.pulls == ["acme/new"]


async def test_preloading(build: Build) -> None:
    """`load` brings a model in and leaves it there."""
    harness = build()
    resident = await soon(harness.load(A, keep_alive=-1))
    assert (resident.name, resident.pid) == (A, harness.fleet.of(A)[0].pid)
    assert harness.names == [A]
    assert harness.resident(A).expires_at is None


async def test_what_is_resident_is_shown(build: Build) -> None:
    """Last used first, with who runs and who waits beyond the batch; a model on its way is not shown."""
    harness = build(engine={"max_batch": 2})
    await harness.use_once(A)
    await harness.use_once(B)
    harness.fleet.hold(C)
    coming = LeaseHolder(harness, C)
    holders = [await LeaseHolder(harness, A).entered() for _ in range(3)]
    assert harness.names == [A, B]
    shown = harness.resident(A)
    assert (shown.running, shown.waiting) == (2, 1)
    assert shown.memory_bytes == MB
    assert shown.installed.name.display() == A
    assert harness.residency.queue.limit == 256
    assert (harness.residency.queue.running, harness.residency.queue.waiting) == (3, 1)
    harness.fleet.gates[C].set()
    for holder in (*holders, coming):
        await holder.left()


async def test_a_spare_that_was_just_ended_is_no_reason_to_refuse(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended after it was taken, before it said what it is; then another one is. Two such are an error."""
    harness = build()
    hello, ends = FakeRunner.hello, [1]

    async def dying(self: FakeRunner) -> Hello:
        if self.fleet.loads or not ends or not ends.pop():
            return await hello(self)
        self.die("killed by SIGKILL")
        raise RunnerDied(self.model, self.death)

    await harness.use_once(B)  # the device is known by now
    await soon(harness.unload(B))
    harness.fleet.loads.clear()
    monkeypatch.setattr(FakeRunner, "hello", dying)
    await harness.use_once(A)
    assert harness.names == [A] and not ends
    await soon(harness.unload(A))
    harness.fleet.loads.clear()
    ends.extend([1, 1])
    with pytest.raises(LoadError, match="SIGKILL"):
        await harness.use_once(A)
