"""Several fetches at once: bounded, shared, ended together, and at the cost of nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from fakes.web import Web, drip, endless, fetched, file, web
from support.waiting import soon, until

from mlx_serve.daemon.errors import FetchBusy, FetchRefused

DATA = b"\x89PNG"
HOST = "http://pictures.example"


@pytest.fixture
async def internet() -> AsyncGenerator[Web]:
    async with web() as made:
        yield made


async def test_each_url_once_whatever_the_order(internet: Web) -> None:
    internet.pages |= {f"/{number}": file(DATA + bytes([number])) for number in range(3)}
    urls = [f"{HOST}/{number}" for number in (2, 0, 2, 1, 0)]
    found = await soon(fetched(internet.fetcher(), urls))
    assert found == {f"{HOST}/{number}": DATA + bytes([number]) for number in range(3)}
    assert sorted(internet.paths) == ["/0", "/1", "/2"]


async def test_so_many_of_a_request_at_once(internet: Web) -> None:
    """They go together, but no more than four."""
    gate = asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await file(DATA)(writer)

    internet.pages |= {f"/{number}": late for number in range(9)}
    fetching = asyncio.create_task(fetched(internet.fetcher(), [f"{HOST}/{number}" for number in range(9)]))
    for _ in range(4):
        await soon(internet.opened.get())
    gate.set()
    assert len(await soon(fetching)) == 9
    assert internet.most_open == 4


async def test_so_many_of_all_requests_at_once(internet: Web) -> None:
    """Who waits too long for a place is told to try again; who waits shorter gets one."""
    internet.pages |= {"/slow": drip(), "/fast": file(DATA)}
    fetcher = internet.fetcher(at_once_total=1, wait_seconds=1.0)
    slow = asyncio.create_task(fetched(fetcher, [f"{HOST}/slow"]))
    await soon(internet.opened.get())
    with pytest.raises(FetchBusy) as busy:
        await soon(fetched(fetcher, [f"{HOST}/fast"]))
    assert busy.value.retry_after > 0
    waiting = asyncio.create_task(fetched(fetcher, [f"{HOST}/fast"]))
    slow.cancel()
    assert await soon(waiting) == {f"{HOST}/fast": DATA}


async def test_the_first_failure_ends_the_others_and_says_which(internet: Web) -> None:
    internet.pages["/slow"] = drip()
    fetcher = internet.fetcher()
    with pytest.raises(FetchRefused, match="cannot be resolved") as refused:
        await soon(fetched(fetcher, [f"{HOST}/slow", "http://nowhere.example/x"]))
    assert refused.value.url == "http://nowhere.example/x"
    await until(lambda: internet.open == 0)
    assert fetcher.budget.held == 0


async def test_cancelling_closes_the_connections(internet: Web) -> None:
    """As when the client hangs up."""
    internet.pages |= {"/0": drip(), "/1": drip(head=True)}
    fetcher = internet.fetcher()
    fetching = asyncio.create_task(fetched(fetcher, [f"{HOST}/0", f"{HOST}/1"]))
    for _ in range(2):
        await soon(internet.opened.get())
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(fetching)
    await until(lambda: internet.open == 0)
    assert fetcher.budget.held == 0


async def test_the_pictures_of_a_request_have_a_size_together(internet: Web) -> None:
    internet.pages |= {f"/{number}": file(bytes(1 << 20)) for number in range(3)}
    urls = [f"{HOST}/{number}" for number in range(3)]
    fetcher = internet.fetcher()
    assert len(await soon(fetched(fetcher, urls, 3 << 20))) == 3
    with pytest.raises(FetchRefused, match=r"larger than 2 MiB together; server\.max_body_mb"):
        await soon(fetched(fetcher, urls, 2 << 20))
    assert fetcher.budget.held == 0


async def test_all_requests_have_a_size_together(internet: Web) -> None:
    """What one request holds leaves less to the others, and is given back when it ends."""
    internet.pages |= {"/big": file(bytes(1 << 20)), "/endless": endless("Connection: close")}
    fetcher = internet.fetcher(bytes_total=3 << 19)
    held = fetched(fetcher, [f"{HOST}/big"])
    assert len(await soon(held)) == 1
    with pytest.raises(FetchBusy):
        await soon(fetched(fetcher, [f"{HOST}/endless"]))
    assert fetcher.budget.held == 0
    assert len(await soon(fetched(fetcher, [f"{HOST}/big"]))) == 1


async def test_nothing_to_fetch_is_nothing(internet: Web) -> None:
    assert await fetched(internet.fetcher(), []) == {}
