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

from mlx_serve.daemon.errors import PullStopped
from mlx_serve.daemon.tasks.pulls import PullOrder, Pulls, downloadable
from mlx_serve.daemon.tasks.quantizing import QuantizeOrder
from mlx_serve.store.disk.manifests import Overrides, Quantization, Source
from mlx_serve.store.errors import HubUnreachable, UnsupportedModel
from mlx_serve.store.names import Name
from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Installed

GUARD = 10
FOUR_BITS = Quantization(bits=4, group_size=64, mode="affine")
A = PullOrder("acme/a")


class Shrinking:
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


class Yard:
    def __init__(self) -> None:
        self.store = RemoteStore()
        self.quantizing = Shrinking(self.store)
        self.in_memory: set[str] = set()
        self.pulls = Pulls(self.store, self.quantizing, lambda: self.in_memory)  # type: ignore[arg-type]

    async def began(self) -> None:
        assert await asyncio.to_thread(self.store.began.acquire, timeout=GUARD)

    async def ended(self) -> None:
        assert await asyncio.to_thread(self.store.ended.acquire, timeout=GUARD)


@pytest.fixture
async def yard() -> AsyncIterator[Yard]:
    made = Yard()
    yield made
    made.quantizing.go.set()
    await asyncio.wait_for(made.pulls.close(), GUARD)


def at(path: str | None, completed: int, status: str = "downloading") -> Progress:
    return Progress(status, path=path, completed=completed, total=10)


class Watcher:
    """Follows an order in a task of its own: `seen` events but the idle ones, then `result` or the error."""

    def __init__(self, yard: Yard, order: Any = A) -> None:
        self.seen: list[Progress] = []
        self._news = asyncio.Event()
        self.task = asyncio.create_task(self._follow(yard, order))

    async def _follow(self, yard: Yard, order: Any) -> Installed:
        async with aclosing(yard.pulls.follow(order)) as events:
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


async def test_two_who_want_the_same_share_one_pull(yard: Yard) -> None:
    """Whatever token each of them brings."""
    first, second = Watcher(yard), Watcher(yard, PullOrder("acme/a", token="hf_x"))
    yard.store.steps.put(at("w", 5))
    await first.sees(at("w", 5))
    await second.sees(at("w", 5))
    yard.store.steps.put(None)
    assert await first.result() is await second.result()
    assert yard.store.pulls == ["acme/a"]
    assert "hf_x" not in repr(PullOrder("acme/a", token="hf_x"))


async def test_different_orders_are_different_pulls(yard: Yard) -> None:
    watchers = [Watcher(yard, order) for order in (A, PullOrder("acme/a", name="b"), PullOrder("acme/a", kind="vlm"))]
    for _ in watchers:
        await yard.began()
        yard.store.steps.put(None)
    for watcher in watchers:
        await watcher.result()
    assert [options["kind"] for options in yard.store.options].count("vlm") == 1


async def test_who_comes_late_sees_where_every_file_stands(yard: Yard) -> None:
    first = Watcher(yard)
    for event in (at(None, 0, "checking files"), at("v", 1), at("w", 2), at("v", 10, "stored"), at("w", 3)):
        yard.store.steps.put(event)
    await first.sees(at("w", 3))
    late = Watcher(yard)
    await late.sees(at("w", 3))
    assert late.seen == [at(None, 0, "checking files"), at("v", 10, "stored"), at("w", 3)]
    yard.store.steps.put(None)
    await late.result()


async def test_a_slow_follower_is_told_the_latest_of_each_file(yard: Yard) -> None:
    """Whatever came in between is gone, and nothing piles up."""
    quick = Watcher(yard)
    yard.store.steps.put(at("w", 0))
    await quick.sees(at("w", 0))
    async with aclosing(yard.pulls.follow(A)) as slow:
        assert await anext(slow) == at("w", 0)
        for done in range(1, 10):
            for path in ("w", "v"):
                yard.store.steps.put(at(path, done))
        await quick.sees(at("v", 9))
        yard.store.steps.put(None)
        model = await quick.result()
        rest = [event async for event in slow if not isinstance(event, Progress) or event.status != "waiting"]
    assert rest == [at("w", 9), at("v", 9), model]


async def test_one_may_leave(yard: Yard) -> None:
    first, second = Watcher(yard), Watcher(yard)
    yard.store.steps.put(at("w", 5))
    await second.sees(at("w", 5))
    await first.leave()
    yard.store.steps.put(at("w", 6))
    await second.sees(at("w", 6))
    yard.store.steps.put(None)
    assert (await second.result()).name == Name("acme", "a")


async def test_when_the_last_one_leaves_the_pull_stops(yard: Yard) -> None:
    """At its next report; who comes right then begins a new one."""
    watchers = [Watcher(yard), Watcher(yard)]
    await yard.began()
    for watcher in watchers:
        await watcher.leave()
    again = Watcher(yard)
    await yard.ended()
    await yard.began()
    yard.store.steps.put(None)
    await again.result()
    assert yard.store.pulls == ["acme/a", "acme/a"]
    assert yard.pulls.running == 0


async def test_an_error_reaches_everybody_and_the_next_attempt_is_a_new_one(yard: Yard) -> None:
    watchers = [Watcher(yard), Watcher(yard)]
    await yard.began()
    yard.store.steps.put(HubUnreachable("no line"))
    for watcher in watchers:
        with pytest.raises(HubUnreachable, match="no line"):
            await watcher.result()
    again = Watcher(yard)
    yard.store.steps.put(None)
    await again.result()


async def test_closing_ends_everything_and_says_why(yard: Yard) -> None:
    watchers = [Watcher(yard), Watcher(yard, PullOrder("acme/b"))]
    for _ in watchers:
        await yard.began()
    await yard.pulls.close()
    for watcher in watchers:
        with pytest.raises(PullStopped, match="goes on where"):
            await watcher.result()
        await yard.ended()
    with pytest.raises(PullStopped):
        await yard.pulls.run(A)


async def test_the_end_of_the_store_s_own_is_not_told(yard: Yard) -> None:
    """The model is the end, and it comes once."""
    watcher = Watcher(yard)
    yard.store.steps.put(Progress("success"))
    yard.store.steps.put(None)
    await watcher.result()
    assert watcher.seen == []


# quantizing


async def test_a_quantized_pull_leaves_the_small_model_alone(yard: Yard) -> None:
    watcher = Watcher(yard, PullOrder("acme/a", quantize=FOUR_BITS, name="tiny", revision="r"))
    yard.store.steps.put(None)
    await watcher.sees(Progress("quantizing", overall_completed=1, overall_total=2))
    assert [model.name.display() for model in yard.store.models()] == ["acme/a"]
    yard.quantizing.go.set()
    assert (await watcher.result()).name == Name("local", "tiny")
    assert yard.quantizing.orders == [QuantizeOrder("acme/a", 4, 64, "affine", "tiny")]
    assert yard.store.options[0]["name"] is None and yard.store.options[0]["revision"] == "r"
    assert yard.store.removed == ["acme/a:latest"]


@pytest.mark.parametrize("why", ["told to", "was here", "in use"])
async def test_the_full_model_stays(yard: Yard, why: str) -> None:
    if why == "was here":
        yard.store.add("acme/a")
    if why == "in use":
        yard.in_memory = {installed("acme/a").digest}
    yard.store.steps.put(None)
    yard.quantizing.go.set()
    await yard.pulls.run(PullOrder("acme/a", quantize=FOUR_BITS, keep_source=why == "told to"))
    assert yard.store.removed == []


async def test_a_second_attempt_clears_what_the_first_left(yard: Yard) -> None:
    """The full model stays when it cannot be quantized, so that nothing is fetched twice; then it goes."""
    order = PullOrder("acme/a", quantize=FOUR_BITS)
    yard.quantizing.failure = UnsupportedModel("not now")
    yard.quantizing.go.set()
    yard.store.steps.put(None)
    with pytest.raises(UnsupportedModel):
        await yard.pulls.run(order)
    assert yard.store.removed == []
    yard.quantizing.failure = None
    yard.store.steps.put(None)
    await yard.pulls.run(order)
    assert yard.store.removed == ["acme/a:latest"]


async def test_what_somebody_pulled_on_purpose_is_not_cleared(yard: Yard) -> None:
    order = PullOrder("acme/a", quantize=FOUR_BITS)
    yard.quantizing.failure = UnsupportedModel("not now")
    yard.quantizing.go.set()
    for wanted in (order, A):
        yard.store.steps.put(None)
        await asyncio.gather(yard.pulls.run(wanted), return_exceptions=True)
    yard.quantizing.failure = None
    yard.store.steps.put(None)
    await yard.pulls.run(order)
    assert yard.store.removed == []


async def test_quantizing_alone_is_shared_and_ends_with_its_followers(yard: Yard) -> None:
    order = QuantizeOrder("acme/a", 4, 64)
    watchers = [Watcher(yard, order), Watcher(yard, order)]
    await asyncio.wait_for(yard.quantizing.began.wait(), GUARD)
    await watchers[0].leave()
    assert not yard.quantizing.killed
    await watchers[1].leave()
    for _ in range(3):
        await asyncio.sleep(0)
    assert yard.quantizing.killed and len(yard.quantizing.orders) == 1


def made(yard: Yard, name: str = "acme/a-4bit", **facts: Any) -> None:
    """What an earlier pull left in the store."""
    model = yard.store.add(name)
    known = {"parent": "f" * 64, "quantization": FOUR_BITS, "source": ORIGIN}
    manifest = msgspec.structs.replace(model.manifest, **(known | facts))
    yard.store.models_by_name[name] = replace(model, manifest=manifest)


@pytest.mark.parametrize("name", [None, "small"])
async def test_a_repeated_quantized_pull_of_the_same_commit_fetches_nothing(yard: Yard, name: str | None) -> None:
    """It reads what is here instead, for a pull repairs."""
    made(yard, "local/small" if name else "acme/a-4bit")
    watcher = Watcher(yard, PullOrder("acme/a", quantize=FOUR_BITS, name=name))
    assert (await watcher.result()).name == Name.parse(name or "acme/a-4bit")
    assert yard.store.pulls == [] and yard.quantizing.orders == []
    assert watcher.seen == [Progress("verifying", overall_completed=1, overall_total=1)]


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
async def test_anything_else_than_the_same_is_made_anew(yard: Yard, facts: dict[str, Any]) -> None:
    yard.store.verifies = not facts.pop("damaged", False)
    keep = facts.pop("keep", False)
    made(yard, facts.pop("name", "acme/a-4bit"), **facts)
    yard.store.steps.put(None)
    yard.quantizing.go.set()
    await yard.pulls.run(PullOrder("acme/a", kind="llm", quantize=FOUR_BITS, keep_source=keep))
    assert yard.store.pulls == ["acme/a"] and len(yard.quantizing.orders) == 1


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
