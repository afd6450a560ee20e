"""A streamed response while it is under way: it can be asked for by its id, and cancelled, by whoever made it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.serving import MODEL, Serving, daemon, raw
from support.responses_wire import checked, events
from support.waiting import soon, until

PATH = "/v1/responses"
BODY: dict[str, Any] = {"model": MODEL, "input": "hi", "stream": True}


async def begun(serving: Serving, **more: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes, str]:
    """A stream that has said its first word and waits; what was sent so far, and the response's id."""
    serving.engine.hold = asyncio.Event()
    reader, writer = await raw(serving, PATH, BODY | more)
    sent = await soon(reader.readuntil(b'"delta":"Hel"'))
    identity = json.loads(next(line for line in sent.splitlines() if line.startswith(b"data: "))[6:])["response"]["id"]
    return reader, writer, sent, identity


def content(sent: bytes) -> list[dict[str, Any]]:
    """The events of a chunked answer's bytes, all of them."""
    lines = sent.split(b"\r\n\r\n", 1)[-1].decode().split("\r\n")
    return events("".join(line for line in lines if not line or not all(c in "0123456789abcdef" for c in line)))


@pytest.mark.parametrize("store", [True, False])
async def test_it_is_cancelled(serving: Serving, client: httpx.AsyncClient, store: bool) -> None:
    """The answer says so at once; the stream ends as a failure that says who ended it, and the engine's work is gone.
    Where it may be kept, that is what is kept."""
    reader, writer, sent, identity = await begun(serving, store=store)
    cancelled = await client.post(f"{PATH}/{identity}/cancel")
    assert cancelled.status_code == 200, cancelled.text
    response = checked(cancelled.json())
    assert (response["id"], response["status"], response["error"]) == (identity, "cancelled", None)
    sent += await soon(reader.readuntil(b"\r\n0\r\n\r\n"))
    writer.close()
    last = content(sent)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "cancelled")
    assert last["response"]["error"]["message"] == "the request was cancelled by its client"
    await serving.left()
    kept = await client.get(f"{PATH}/{identity}")
    assert kept.status_code == (200 if store else 404)
    if store:
        assert kept.json() == response
    assert (await client.post(f"{PATH}/{identity}/cancel")).status_code == (400 if store else 404)


async def test_it_is_given_as_far_as_it_is(serving: Serving, client: httpx.AsyncClient) -> None:
    """In progress, and whole afterwards."""
    reader, writer, _, identity = await begun(serving)
    found = await client.get(f"{PATH}/{identity}")
    assert found.status_code == 200
    assert (checked(found.json())["status"], found.json()["id"]) == ("in_progress", identity)
    assert serving.engine.hold is not None
    serving.engine.hold.set()
    await soon(reader.readuntil(b"\r\n0\r\n\r\n"))
    writer.close()
    assert (await client.get(f"{PATH}/{identity}")).json()["status"] == "completed"


async def test_it_is_cancelled_while_its_model_is_loaded(
    serving: Serving, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlx_serve.handlers.stream.HEAD_SECONDS", 0.005)
    monkeypatch.setattr("mlx_serve.handlers.stream.PING_SECONDS", 0.005)
    serving.residency.hold_load = asyncio.Event()
    reader, writer = await raw(serving, PATH, BODY)
    sent = await soon(reader.readuntil(b'"type":"response.in_progress"'))
    identity = sent.partition(b'"id":"')[2].partition(b'"')[0].decode()
    assert (await client.post(f"{PATH}/{identity}/cancel")).json()["status"] == "cancelled"
    assert b'"response.failed"' in await soon(reader.readuntil(b"\r\n0\r\n\r\n"))
    writer.close()
    await until(lambda: serving.context.requests.all() == [])


async def test_it_belongs_to_the_key_that_made_it(tmp_path: Path) -> None:
    async with daemon(tmp_path, api_keys=["one", "two"], require_keys="always") as serving:
        serving.engine.hold = asyncio.Event()
        async with httpx.AsyncClient(base_url=serving.url, trust_env=False) as client:
            one, two = ({"authorization": f"Bearer {key}"} for key in ("one", "two"))
            async with client.stream("POST", PATH, json=BODY, headers=one) as stream:
                lines = stream.aiter_lines()
                first = [await soon(anext(lines)) for _ in range(2)][1]
                path = f"{PATH}/{json.loads(first.removeprefix('data: '))['response']['id']}"
                assert (await client.get(path, headers=two)).status_code == 404
                assert (await client.post(f"{path}/cancel", headers=two)).status_code == 404
                assert (await client.get(path, headers=one)).json()["status"] == "in_progress"
                assert (await client.post(f"{path}/cancel", headers=one)).json()["status"] == "cancelled"
                rest = [line async for line in lines]
    assert any('"response.failed"' in line for line in rest)
