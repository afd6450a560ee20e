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
