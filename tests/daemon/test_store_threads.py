"""The store's calls have threads of their own, and those that wait for its lock never hold up those that do not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fakes.serving import Serving, daemon

from mlx_serve.daemon import store_threads


class Gate:
    """Calls that stand until the gate is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.standing = threading.Semaphore(0)

    def __call__(self, *_: object) -> bool:
        self.standing.release()
        assert self.open.wait(30)
        return True


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


async def stand(gate: Gate, count: int) -> None:
    """Wait until so many calls stand at the gate."""
    for _ in range(count):
        assert await asyncio.to_thread(gate.standing.acquire, timeout=20)


async def test_results_and_errors_come_back() -> None:
    assert await store_threads.look(divmod, 7, 2) == (3, 1)
    assert await store_threads.work(int, "ff", base=16) == 255
    for run in (store_threads.look, store_threads.work):
        with pytest.raises(ZeroDivisionError):
            await run(divmod, 1, 0)


async def test_work_that_stands_holds_up_neither_looks_nor_the_loops_own_threads(gate: Gate) -> None:
    """Only so many threads are begun, however much waits."""
    waiting = [asyncio.create_task(store_threads.work(gate)) for _ in range(100)]
    await stand(gate, store_threads.WORK)
    async with asyncio.timeout(20):
        assert await store_threads.look(divmod, 7, 2) == (3, 1)
        assert await asyncio.to_thread(divmod, 7, 2) == (3, 1)
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("store-work")]
    assert len(names) == store_threads.WORK
    gate.open.set()
    assert await asyncio.gather(*waiting) == [True] * 100


async def test_models_are_listed_while_a_sweep_holds_the_store(tmp_path: Path, gate: Gate) -> None:
    """More callers wait for the store's lock than the loop has threads; lists and single models answer all the same."""
    async with daemon(tmp_path) as serving, httpx.AsyncClient(base_url=serving.url, trust_env=False) as client:
        block(serving, gate)
        digest = "sha256:" + "0" * 64
        waiting = [asyncio.create_task(client.head(f"/api/blobs/{digest}")) for _ in range(40)]
        await stand(gate, store_threads.WORK)
        async with asyncio.timeout(20):
            for path in ("/api/tags", "/v1/models", "/v1/models/acme%2Fparrot"):
                assert (await client.get(path)).status_code == 200, path
        gate.open.set()
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}


def block(serving: Serving, gate: Gate) -> None:
    serving.store.claim = gate  # type: ignore[attr-defined]


# one look for all who ask the same


class Shelf:
    """What stands under each name, and each look at it; a look takes as long as the gate is shut."""

    def __init__(self) -> None:
        self.models = {"a": 1, "b": 1}
        self.looks: list[str] = []
        self.gate = threading.Event()
        self.standing = threading.Semaphore(0)

    def __call__(self, name: str) -> int:
        found = self.models.get(name)
        self.looks.append(name)
        self.standing.release()
        assert self.gate.wait(30)
        if found is None:
            raise KeyError(name)
        return found

    async def stand(self) -> None:
        assert await asyncio.to_thread(self.standing.acquire, timeout=20)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def asked(looks: store_threads.SharedLooks[int], name: str, count: int) -> list[asyncio.Task[int]]:
    """So many who have asked, and wait."""
    tasks = [asyncio.create_task(looks.get(name)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_many_who_ask_at_once_ask_the_store_twice(shelf: Shelf) -> None:
    """The look that goes on when they come is not theirs: it began before."""
    looks = store_threads.SharedLooks(shelf)
    first = await asked(looks, "a", 1)
    await shelf.stand()
    others = await asked(looks, "a", 40)
    shelf.gate.set()
    assert await asyncio.gather(*first, *others) == [1] * 41
    assert shelf.looks == ["a", "a"] and not looks._looks and not looks._next


async def test_nobody_is_told_what_was_true_before_they_asked(shelf: Shelf) -> None:
    """A model that was put there while another look went on is found by whoever asks after that."""
    looks = store_threads.SharedLooks(shelf)
    first = await asked(looks, "a", 1)
    await shelf.stand()
    shelf.models["a"] = 2
    second = await asked(looks, "a", 3)
    shelf.gate.set()
    assert await asyncio.gather(*first, *second) == [1, 2, 2, 2]


async def test_other_names_do_not_wait(shelf: Shelf) -> None:
    looks = store_threads.SharedLooks(shelf)
    tasks = [*await asked(looks, "a", 1), *await asked(looks, "b", 1)]
    await shelf.stand()
    await shelf.stand()
    shelf.gate.set()
    assert await asyncio.gather(*tasks) == [1, 1] and sorted(shelf.looks) == ["a", "b"]


async def test_each_has_an_error_of_their_own(shelf: Shelf) -> None:
    """One that several tasks raise would carry the tracebacks of all."""
    shelf.gate.set()
    looks = store_threads.SharedLooks(shelf)
    found = await asyncio.gather(*(looks.get("none") for _ in range(5)), return_exceptions=True)
    assert all(isinstance(error, KeyError) for error in found) and len({id(error) for error in found}) == 5
    assert await looks.get("a") == 1


async def test_whoever_goes_leaves_the_look_to_the_others(shelf: Shelf) -> None:
    looks = store_threads.SharedLooks(shelf)
    going, staying = await asked(looks, "a", 1), await asked(looks, "a", 2)
    await shelf.stand()
    going[0].cancel()
    staying[0].cancel()
    await asyncio.sleep(0)
    shelf.gate.set()
    assert await staying[1] == 1
    assert going[0].cancelled() and staying[0].cancelled()
    assert await looks.get("a") == 1 and not looks._looks and not looks._next
