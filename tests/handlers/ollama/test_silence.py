"""A pull or a creation that has nothing new to tell for long repeats its status: no client takes it for lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator

import pytest
from fakes.serving import Serving, raw
from support.waiting import GUARD, soon

from mlx_serve.handlers import stream
from mlx_serve.handlers.ollama import pull
from mlx_serve.store.progress import Progress

LAYER = Progress("downloading", path="model.safetensors", digest="sha256:" + "a" * 64, completed=5, total=2 << 20)


@pytest.fixture
async def going_on(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[threading.Event]:
    """Until it is set a pull of the daemon's goes on without progress, after its first report."""
    monkeypatch.setattr(stream, "PING_SECONDS", 0.005)
    monkeypatch.setattr(pull, "HEAD_SECONDS", 0.005)
    going = threading.Event()

    def script(source: str) -> Iterator[Progress]:
        if source != "acme/silent":
            yield LAYER
        while not going.wait(0.01):
            yield Progress("waiting", path="idle")  # as a real pull does, which hears so that nobody waits for it

    serving.store.script = script
    yield going
    going.set()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/pull", {"model": "acme/new"}, "pulling aaaaaaaaaaaa"),
        ("/api/pull", {"model": "acme/silent"}, "pulling manifest"),
        ("/api/create", {"model": "mine", "from": "acme/new"}, "pulling aaaaaaaaaaaa"),
        ("/api/create", {"model": "mine", "from": "acme/silent"}, "creating model"),
    ],
)
async def test_a_silence_repeats_what_was_said(
    serving: Serving, going_on: threading.Event, path: str, body: dict[str, object], status: str
) -> None:
    """The same line again, however often; success is still the end, once."""
    reader, writer = await raw(serving, path, body)
    for _ in range(4):
        await soon(reader.readuntil(b'{"status":"' + status.encode()))
    going_on.set()
    text = (await soon(reader.readuntil(b"\r\n0\r\n\r\n"))).decode()
    writer.close()
    assert text.count('{"status":"success"}') == 1
    (source,) = serving.store.pulls
    assert source in ("acme/new", "acme/silent")


async def test_who_hangs_up_in_a_silence_is_not_waited_for(serving: Serving, going_on: threading.Event) -> None:
    """The pull is nobody's any more, and ends."""
    reader, writer = await raw(serving, "/api/pull", {"model": "acme/new"})
    await soon(reader.readuntil(b'{"status":"pulling aaaaaaaaaaaa'))
    writer.transport.abort()
    assert await asyncio.to_thread(serving.store.ended.acquire, timeout=GUARD)
