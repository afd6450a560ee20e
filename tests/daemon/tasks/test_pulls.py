"""A pull is done once for all who ask, told to each of them, and ends when nobody is left, whoever comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from fakes.remote import ORIGIN, RemoteStore
from fakes.store import installed
from support.waiting import GUARD

from mlx_serve.daemon.errors import PullStopped
from mlx_serve.daemon.tasks.pulls import PullOrder, Pulls, downloadable
from mlx_serve.daemon.tasks.quantizing import QuantizeOrder
from mlx_serve.store.disk.manifests import Overrides, Quantization, Source
from mlx_serve.store.errors import DamagedModel, HubUnreachable, UnsupportedModel
from mlx_serve.store.names import Name
from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Installed

FOUR_BITS = Quantization(bits=4, group_size=64, mode="affine")
A = PullOrder("acme/a")


class SlowQuantizing:
    """A quantizer that reports once, then waits for `go`."""

    def __init__(self, store: RemoteStore) -> None:
        self.store = store
        self.orders: list[QuantizeOrder] = []
        self.go = asyncio.Event()
        self.began = asyncio.Event()
        self.killed = False
        self.failure: Exception | None = None

    async def run(self, order: QuantizeOrder, report: Callable[[Progress], None]) -> Installed:
        self.orders.append(order)
        self.began.set()
        report(Progress("quantizing", overall_completed=1, overall_total=2))
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.killed = True
            raise
        if self.failure is not None:
            raise self.failure
        report(Progress("success"))
        return self.store.add(order.target or f"{order.name}-4bit")


class Setup:
    def __init__(self) -> None:
        self.store = RemoteStore()
        self.quantizing = SlowQuantizing(self.store)
        self.in_memory: set[str] = set()
        self.pulls = Pulls(self.store, self.quantizing, lambda: self.in_memory)  # type: ignore[arg-type]

    async def began(self) -> None:
        assert await asyncio.to_thread(self.store.began.acquire, timeout=GUARD)

    async def ended(self) -> None:
        assert await asyncio.to_thread(self.store.ended.acquire, timeout=GUARD)


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    made = Setup()
    yield made
    made.quantizing.go.set()
    await asyncio.wait_for(made.pulls.close(), GUARD)


def at(path: str | None, completed: int, status: str = "downloading") -> Progress:
    return Progress(status, path=path, completed=completed, total=10)


class Watcher:
    """Follows an order in a task of its own: `seen` events but the idle ones, then `result` or the error."""

    def __init__(self, setup: Setup, order: Any = A) -> None:
        self.seen: list[Progress] = []
        self._news = asyncio.Event()
        self.task = asyncio.create_task(self._follow(setup, order))

    async def _follow(self, setup: Setup, order: Any) -> Installed:
        async with aclosing(setup.pulls.follow(order)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    return event
                if event.status != "waiting":
                    self.seen.append(event)
                    self._news.set()
        raise AssertionError("the events ended without a result")

    async def sees(self, event: Progress) -> None:
        async with asyncio.timeout(GUARD):
            while event not in self.seen:
                self._news.clear()
                await self._news.wait()

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    async def result(self) -> Installed:
        return await asyncio.wait_for(self.task, GUARD)


async def test_two_who_want_the_same_share_one_pull(setup: Setup) -> None:
    """Whatever token each of them brings."""
    first, second = Watcher(setup), Watcher(setup, PullOrder("acme/a", token="hf_x"))
    setup.store.steps.put(at("w", 5))
    await first.sees(at("w", 5))
    await second.sees(at("w", 5))
    setup.store.steps.put(None)
    assert await first.result() is await second.result()
    assert setup.store.pulls == ["acme/a"]
    assert "hf_x" not in repr(PullOrder("acme/a", token="hf_x"))


async def test_different_orders_are_different_pulls(setup: Setup) -> None:
    watchers = [Watcher(setup, order) for order in (A, PullOrder("acme/a", name="b"), PullOrder("acme/a", kind="vlm"))]
    for _ in watchers:
        await setup.began()
        setup.store.steps.put(None)
    for watcher in watchers:
        await watcher.result()
    assert [options["kind"] for options in setup.store.options].count("vlm") == 1


async def test_who_comes_late_sees_where_every_file_stands(setup: Setup) -> None:
    first = Watcher(setup)
    for event in (at(None, 0, "checking files"), at("v", 1), at("w", 2), at("v", 10, "stored"), at("w", 3)):
        setup.store.steps.put(event)
    await first.sees(at("w", 3))
    late = Watcher(setup)
    await late.sees(at("w", 3))
    assert late.seen == [at(None, 0, "checking files"), at("v", 10, "stored"), at("w", 3)]
    setup.store.steps.put(None)
    await late.result()


async def test_a_slow_follower_is_told_the_latest_of_each_file(setup: Setup) -> None:
    """Whatever came in between is gone, and nothing piles up."""
    quick = Watcher(setup)
    setup.store.steps.put(at("w", 0))
    await quick.sees(at("w", 0))
    async with aclosing(setup.pulls.follow(A)) as slow:
        assert await anext(slow) == at("w", 0)
        for done in range(1, 10):
            for path in ("w", "v"):
                setup.store.steps.put(at(path, done))
        await quick.sees(at("v", 9))
        setup.store.steps.put(None)
        model = await quick.result()
        rest = [event async for event in slow if not isinstance(event, Progress) or event.status != "waiting"]
    assert rest == [at("w", 9), at("v", 9), model]


async def test_one_may_leave(setup: Setup) -> None:
    first, second = Watcher(setup), Watcher(setup)
    setup.store.steps.put(at("w", 5))
    await second.sees(at("w", 5))
    await first.leave()
    setup.store.steps.put(at("w", 6))
    await second.sees(at("w", 6))
    setup.store.steps.put(None)
    assert (await second.result()).name == Name("acme", "a")


async def test_when_the_last_one_leaves_the_pull_stops(setup: Setup) -> None:
    """At its next report; who comes right then begins a new one."""
    watchers = [Watcher(setup), Watcher(setup)]
    await setup.began()
    for watcher in watchers:
        await watcher.leave()
    again = Watcher(setup)
    await setup.ended()
    await setup.began()
    setup.store.steps.put(None)
    await again.result()
    assert setup.store.pulls == ["acme/a", "acme/a"]
    assert setup.pulls.running == 0


async def test_an_error_reaches_everybody_and_the_next_attempt_is_a_new_one(setup: Setup) -> None:
    watchers = [Watcher(setup), Watcher(setup)]
    await setup.began()
    setup.store.steps.put(HubUnreachable("no line"))
    for watcher in watchers:
        with pytest.raises(HubUnreachable, match="no line"):
            await watcher.result()
    again = Watcher(setup)
    setup.store.steps.put(None)
    await again.result()


async def test_closing_ends_everything_and_says_why(setup: Setup) -> None:
    watchers = [Watcher(setup), Watcher(setup, PullOrder("acme/b"))]
    for _ in watchers:
        await setup.began()
    await setup.pulls.close()
    for watcher in watchers:
        with pytest.raises(PullStopped, match="pull again later to resume"):
            await watcher.result()
        await setup.ended()
    with pytest.raises(PullStopped):
        await setup.pulls.run(A)


async def test_the_end_of_the_store_s_own_is_not_told(setup: Setup) -> None:
    """The model is the end, and it comes once."""
    watcher = Watcher(setup)
    setup.store.steps.put(Progress("success"))
    setup.store.steps.put(None)
    await watcher.result()
    assert watcher.seen == []


# quantizing


async def test_a_quantized_pull_leaves_the_small_model_alone(setup: Setup) -> None:
    watcher = Watcher(setup, PullOrder("acme/a", quantize=FOUR_BITS, name="tiny", revision="r"))
    setup.store.steps.put(None)
    await watcher.sees(Progress("quantizing", overall_completed=1, overall_total=2))
    assert [model.name.display() for model in setup.store.models()] == ["acme/a"]
    setup.quantizing.go.set()
    assert (await watcher.result()).name == Name("local", "tiny")
    assert setup.quantizing.orders == [QuantizeOrder("acme/a", 4, 64, "affine", "tiny")]
    assert setup.store.options[0]["name"] is None and setup.store.options[0]["revision"] == "r"
    assert setup.store.removed == ["acme/a:latest"]


@pytest.mark.parametrize("why", ["told to", "was here", "in use"])
async def test_the_full_model_stays(setup: Setup, why: str) -> None:
    if why == "was here":
        setup.store.add("acme/a")
    if why == "in use":
        setup.in_memory = {installed("acme/a").digest}
    setup.store.steps.put(None)
    setup.quantizing.go.set()
    await setup.pulls.run(PullOrder("acme/a", quantize=FOUR_BITS, keep_source=why == "told to"))
    assert setup.store.removed == []


async def test_a_second_attempt_clears_what_the_first_left(setup: Setup) -> None:
    """The full model stays when it cannot be quantized, so that nothing is fetched twice; then it goes."""
    order = PullOrder("acme/a", quantize=FOUR_BITS)
    setup.quantizing.failure = UnsupportedModel("not now")
    setup.quantizing.go.set()
    setup.store.steps.put(None)
    with pytest.raises(UnsupportedModel):
        await setup.pulls.run(order)
    assert setup.store.removed == []
    setup.quantizing.failure = None
    setup.store.steps.put(None)
    await setup.pulls.run(order)
    assert setup.store.removed == ["acme/a:latest"]


async def test_what_somebody_pulled_on_purpose_is_not_cleared(setup: Setup) -> None:
    order = PullOrder("acme/a", quantize=FOUR_BITS)
    setup.quantizing.failure = UnsupportedModel("not now")
    setup.quantizing.go.set()
    for wanted in (order, A):
        setup.store.steps.put(None)
        await asyncio.gather(setup.pulls.run(wanted), return_exceptions=True)
    setup.quantizing.failure = None
    setup.store.steps.put(None)
    await setup.pulls.run(order)
    assert setup.store.removed == []


async def test_quantizing_alone_is_shared_and_ends_with_its_followers(setup: Setup) -> None:
    order = QuantizeOrder("acme/a", 4, 64)
    watchers = [Watcher(setup, order), Watcher(setup, order)]
    await asyncio.wait_for(setup.quantizing.began.wait(), GUARD)
    await watchers[0].leave()
    assert not setup.quantizing.killed
    await watchers[1].leave()
    for _ in range(3):
        await asyncio.sleep(0)
    assert setup.quantizing.killed and len(setup.quantizing.orders) == 1


def made(setup: Setup, name: str = "acme/a-4bit", **facts: Any) -> None:
    """What an earlier pull left in the store."""
    model = setup.store.add(name)
    known = {"parent": "f" * 64, "quantization": FOUR_BITS, "source": ORIGIN}
    manifest = msgspec.structs.replace(model.manifest, **(known | facts))
    setup.store.models_by_name[name] = replace(model, manifest=manifest)


@pytest.mark.parametrize("name", [None, "small"])
async def test_a_repeated_quantized_pull_of_the_same_commit_fetches_nothing(setup: Setup, name: str | None) -> None:
    """It reads what is here instead, for a pull repairs."""
    made(setup, "local/small" if name else "acme/a-4bit")
    watcher = Watcher(setup, PullOrder("acme/a", quantize=FOUR_BITS, name=name))
    assert (await watcher.result()).name == Name.parse(name or "acme/a-4bit")
    assert setup.store.pulls == [] and setup.quantizing.orders == []
    assert watcher.seen == [Progress("verifying", overall_completed=5, overall_total=10)]


@pytest.mark.parametrize(
    "facts",
    [
        {"parent": None},
        {"quantization": Quantization(bits=8, group_size=64, mode="affine")},
        {"source": Source(kind="hub", location="acme/a", revision="d" * 40)},
        {"kind": "vlm"},
        {"overrides": Overrides(system="be brief")},
        {"name": "acme/other"},
        {"damaged": True},
        {"keep": True},
    ],
    ids=lambda facts: str(next(iter(facts))),
)
async def test_anything_else_than_the_same_is_made_anew(setup: Setup, facts: dict[str, Any]) -> None:
    if facts.pop("damaged", False):
        setup.store.damaged["acme/a-4bit"] = DamagedModel("its bytes have changed")
    keep = facts.pop("keep", False)
    made(setup, facts.pop("name", "acme/a-4bit"), **facts)
    setup.store.steps.put(None)
    setup.quantizing.go.set()
    await setup.pulls.run(PullOrder("acme/a", kind="llm", quantize=FOUR_BITS, keep_source=keep))
    assert setup.store.pulls == ["acme/a"] and len(setup.quantizing.orders) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("qwen/qwen3:latest", "qwen/qwen3"),
        ("Mine", "Mine"),
        ("starter", "starter"),
        ("qwen/qwen3:4bit", None),
        ("gpt-4", None),
        ("x", None),
        ("", None),
        ("../x", None),
        ("/etc/passwd", None),
        ("./a/b", None),
    ],
)
def test_only_what_can_be_on_the_hub_is_downloaded(name: str, source: str | None) -> None:
    """A request's model that is no repository's name, alias or built-in stays unknown."""
    assert downloadable(name, {"mine": "acme/a"}) == source
