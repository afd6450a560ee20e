"""Pictures by URL, through the whole of the HTTP layer: fetched before the model is loaded, at nobody else's cost."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import msgspec
import pytest
from fakes.serving import MODEL, Serving, raw
from fakes.web import Web, drip, endless, file, redirect, says, web
from support.extent import only_long
from support.sent_pictures import SEEING, data_url, encoded, noise, part, png, seeing, text
from support.waiting import GUARD, soon, until

from mlx_serve.daemon.fetching.fetch_limits import FetchLimits
from mlx_serve.daemon.fetching.fetcher import Fetcher
from mlx_serve.daemon.http.request import ApiRequest
from mlx_serve.daemon.protocol import ChatPrompt, Generate, Picture
from mlx_serve.handlers.openai.bodies import ChatBody
from mlx_serve.handlers.pictures import inline_data
from mlx_serve.handlers.pictures.picture_source import Inline

PATH = "/v1/chat/completions"
HOST = "http://pictures.example"
RED, BLUE = png("red"), png("blue")
IMAGES = {"role": "user", "content": "x", "images": [encoded(noise(2 << 20))]}
TEXT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def internet(serving: Serving) -> AsyncGenerator[Web]:
    """What the daemon takes for the internet. It has a model that sees."""
    seeing(serving)
    async with web() as made:
        serving.context.fetcher = made.fetcher()
        yield made


def body(*urls: str, **more: Any) -> dict[str, Any]:
    return {"model": SEEING, "messages": [{"role": "user", "content": [text("x"), *map(part, urls)]}]} | more


def pictures(serving: Serving) -> tuple[Picture, ...]:
    work = serving.engine.requests[-1]
    assert isinstance(work, Generate) and isinstance(work.prompt, ChatPrompt)
    return work.prompt.pictures


async def test_fetched_and_sent_pictures_keep_their_order(
    serving: Serving, client: httpx.AsyncClient, internet: Web
) -> None:
    """The same URL twice is fetched once."""
    internet.pages |= {"/red": file(RED), "/blue": file(BLUE)}
    urls = [f"{HOST}/blue", data_url(RED), f"{HOST}/red", f"{HOST}/blue"]
    assert (await client.post(PATH, json=body(*urls))).status_code == 200
    assert [each.data for each in pictures(serving)] == [BLUE, RED, RED, BLUE]
    assert [each.param for each in pictures(serving)] == [
        f"messages[0].content[{number}].image_url.url" for number in (1, 2, 3, 4)
    ]
    assert len({each.digest for each in pictures(serving)}) == 2
    assert sorted(internet.paths) == ["/blue", "/red"]


FAILURES = {
    "/gone": says("404 Not Found\r\nContent-Length: 6", b"secret"),
    "/large": says("200 OK\r\nContent-Length: 99999999999"),
    "/metadata": redirect("http://inside.example/latest/meta-data"),
    "/loop": redirect("/loop"),
    "/drip": drip(),
    "/endless": endless("Transfer-Encoding: chunked"),
    "/page": file(b"<!doctype html><title>Log in</title>"),
    "/drawing": file(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "Content-Type: image/png"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", FAILURES)
async def test_what_cannot_be_fetched_is_a_400_and_costs_nobody(
    serving: Serving, client: httpx.AsyncClient, internet: Web, path: str, stream: bool
) -> None:
    """It names the field, repeats neither address nor answer, loads nothing; another request is answered meanwhile."""
    seconds = 0.5 if path == "/drip" else GUARD  # before the head of a stream
    serving.context.fetcher = internet.fetcher(seconds_each=seconds, bytes_each=1 << 20)
    internet.names["inside.example"] = [["169.254.169.254"]]
    internet.pages |= FAILURES | {"/red": file(RED)}
    asking = asyncio.create_task(
        client.post(PATH, json=body(f"{HOST}/red", f"{HOST}{path}", stream=stream), timeout=GUARD)
    )
    await soon(internet.opened.get())
    assert (await client.post(PATH, json=TEXT)).status_code == 200
    response = await soon(asking)
    error = response.json()["error"]
    assert response.status_code == 400 and error["type"] == "invalid_request_error"
    assert error["param"] == "messages[0].content[2].image_url.url"
    assert not any(word in error["message"] for word in ("secret", "169.254", "inside.example", "Log in"))
    assert serving.residency.loaded == [MODEL] and len(serving.engine.requests) == 1
    assert (await client.post(PATH, json=body(f"{HOST}/red"))).status_code == 200
    assert serving.context.fetcher.budget.held == 0


async def test_private_addresses_are_refused_as_the_settings_are(serving: Serving, client: httpx.AsyncClient) -> None:
    """By default, with the daemon's own fetcher and a server on loopback that would have answered."""
    seeing(serving)
    async with web() as inside:
        inside.pages["/red"] = file(RED)
        response = await client.post(PATH, json=body(f"http://127.0.0.1:{inside.port}/red"))
        assert response.status_code == 400 and "models.fetch_private_images" in response.json()["error"]["message"]
        assert inside.asked == []


async def test_nothing_is_fetched_for_a_model_that_cannot_see(
    serving: Serving, client: httpx.AsyncClient, internet: Web
) -> None:
    response = await client.post(PATH, json=body(f"{HOST}/red") | {"model": MODEL})
    assert response.status_code == 400 and "does not support vision" in response.json()["error"]["message"]
    assert internet.asked == []


async def test_fetching_ends_when_the_client_hangs_up(serving: Serving, internet: Web) -> None:
    internet.pages["/drip"] = drip()
    _, writer = await raw(serving, PATH, body(f"{HOST}/drip"))
    await soon(internet.opened.get())
    writer.close()
    await until(lambda: internet.open == 0)
    assert serving.residency.loaded == [] and serving.context.fetcher.budget.held == 0


async def test_too_many_fetches_are_a_503_with_a_time(
    serving: Serving, client: httpx.AsyncClient, internet: Web
) -> None:
    internet.pages["/drip"] = drip()
    serving.context.fetcher = internet.fetcher(at_once_total=1, wait_seconds=0.1)
    _, writer = await raw(serving, PATH, body(f"{HOST}/drip"))
    await soon(internet.opened.get())
    response = await client.post(PATH, json=body(f"{HOST}/drip"))
    assert response.status_code == 503 and int(response.headers["retry-after"]) > 0
    writer.close()


async def test_fetched_pictures_fit_into_a_body(client: httpx.AsyncClient, serving: Serving, internet: Web) -> None:
    """All of a request together, as if they had been sent along."""
    internet.pages |= {f"/{number}": file(noise(16 << 20)) for number in range(5)}
    response = await client.post(PATH, json=body(*(f"{HOST}/{number}" for number in range(5))), timeout=GUARD)
    assert response.status_code == 400 and "server.max_body_mb" in response.json()["error"]["message"]


async def test_others_are_answered_while_a_large_picture_is_decoded(
    serving: Serving, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoding waits here until another request has its answer: it cannot be on the event loop."""
    seeing(serving)
    began, answered = threading.Event(), threading.Event()
    decoded = inline_data.decoded

    def held(source: inline_data.Inline) -> bytes:
        began.set()
        assert answered.wait(GUARD)
        return decoded(source)

    monkeypatch.setattr(inline_data, "decoded", held)
    data = noise(15 << 20)
    asking = asyncio.create_task(client.post(PATH, json=body(data_url(data)), timeout=GUARD))
    await asyncio.to_thread(began.wait, GUARD)
    assert (await client.post(PATH, json=TEXT)).status_code == 200
    answered.set()
    assert (await soon(asking)).status_code == 200
    assert pictures(serving)[0].data == data


async def test_ollama_takes_large_pictures_too(serving: Serving, client: httpx.AsyncClient) -> None:
    seeing(serving)
    data = noise(15 << 20)
    document = {"model": SEEING, "messages": [{"role": "user", "content": "x", "images": [encoded(data)]}]}
    response = await client.post("/api/chat", content=json.dumps(document | {"stream": False}), timeout=GUARD)
    assert response.status_code == 200
    assert pictures(serving)[0].data == data


async def test_pictures_have_a_size_together_until_their_requests_end(
    serving: Serving, client: httpx.AsyncClient
) -> None:
    """Requests that wait for a model hold their pictures: beyond the limit others are told when to come again. Then
    nothing is held, whichever way they ended."""
    seeing(serving)
    serving.context.fetcher = Fetcher(private=False, version="1", limits=FetchLimits(bytes_total=3 << 20))
    budget = serving.context.fetcher.budget
    serving.residency.hold_load = asyncio.Event()
    large = body(data_url(noise(2 << 20)))
    waiting = asyncio.create_task(client.post(PATH, json=large, timeout=GUARD))
    await until(lambda: serving.residency.leases == 1)
    assert budget.held >= 2 << 20
    refused = await client.post(PATH, json=large)
    assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
    assert (await client.post("/api/chat", json={"model": SEEING, "messages": [IMAGES]})).status_code == 503
    _, writer = await raw(serving, PATH, body(data_url(RED)))
    await until(lambda: serving.residency.leases == 2)
    writer.close()
    await until(lambda: serving.residency.leases == 1)
    serving.residency.hold_load.set()
    assert (await soon(waiting)).status_code == 200
    assert (await client.post(PATH, json=body(data_url(RED), "data:image/png;base64,*"))).status_code == 400
    assert budget.held == 0


@only_long
async def test_a_large_body_is_not_kept_while_its_request_waits(serving: Serving, client: httpx.AsyncClient) -> None:
    """Neither its bytes nor the base64 in it: only the pictures."""
    seeing(serving)
    serving.residency.hold_load = asyncio.Event()
    asking = asyncio.create_task(client.post(PATH, json=body(data_url(noise(5 << 20))), timeout=GUARD))
    await until(lambda: serving.residency.leases == 1)
    gc.collect()
    objects = gc.get_objects()
    held = [
        *(len(each.body) for each in objects if isinstance(each, ApiRequest) and each.app is serving.app),
        *(len(msgspec.json.encode(each)) for each in objects if isinstance(each, ChatBody)),
        *(len(each.text) for each in objects if isinstance(each, Inline)),
    ]
    assert len(held) >= 3 and max(held) < 1 << 20
    serving.residency.hold_load.set()
    assert (await soon(asking)).status_code == 200
