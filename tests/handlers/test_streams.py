"""What a stream does when something goes wrong, and that a client who leaves takes its generation along."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import httpx
import pytest
from fakes.engine import finished, says
from fakes.serving import MODEL, Serving, daemon, raw
from support.waiting import GUARD, soon

from mlx_serve.daemon.errors import RunnerDied
from mlx_serve.daemon.http.limits import ConnectionLimits
from mlx_serve.daemon.protocol import Delta
from mlx_serve.handlers import stream as streams
from mlx_serve.handlers.items import merged

MESSAGES = [{"role": "user", "content": "hi"}]
PATHS = ["/v1/chat/completions", "/v1/completions", "/api/chat", "/api/generate"]


def body(**more: object) -> dict[str, object]:
    return {"model": MODEL, "messages": MESSAGES, "prompt": "hi"} | more


async def cancelled(serving: Serving) -> float:
    """How many requests the metrics count as cancelled."""
    async with httpx.AsyncClient(base_url=serving.url, trust_env=False, verify=False) as client:
        text = (await client.get("/metrics")).text
    (count,) = re.findall(r'^mlx_serve_cancelled_total\{model="acme/parrot"\} (\S+)$', text, re.MULTILINE)
    return float(count)


@pytest.mark.parametrize("path", PATHS)
async def test_hang_up_while_streaming(serving: Serving, path: str) -> None:
    """A reset after the first token closes the engine's iterator, ends the lease, and counts as cancelled."""
    serving.engine.hold = asyncio.Event()
    reader, writer = await raw(serving, path, body(stream=True))
    await reader.readuntil(b"Hel")
    assert serving.engine.open == 1 and serving.residency.leases == 1
    writer.transport.abort()
    await serving.left()
    assert await cancelled(serving) == 1


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("padding", [0, 200_000])
async def test_hang_up_without_streaming(serving: Serving, n: int, padding: int) -> None:
    """The same when nothing is streamed, for every choice, and behind a large body."""
    serving.engine.hold = asyncio.Event()
    messages = [{"role": "user", "content": "x" * padding or "hi"}]
    _, writer = await raw(serving, PATHS[0], body(n=n, messages=messages))
    await soon(serving.engine.opened.get())
    writer.transport.abort()
    await serving.left()


async def test_hang_up_ends_a_pull(serving: Serving) -> None:
    """A client who leaves stops its pull at the next report."""
    reader, writer = await raw(serving, "/api/pull", {"model": "slow"})
    await soon(reader.readuntil(b'"pulling endless.safetensors"'))
    writer.transport.abort()
    assert await asyncio.to_thread(serving.store.ended.acquire, timeout=GUARD)


@pytest.mark.parametrize("path", PATHS)
async def test_death_in_the_middle(serving: Serving, path: str) -> None:
    """The last record is the error, the body ends after it for readers of whole bodies, and the next request works."""
    serving.engine.script = says(Delta(id=1, text="a"), RunnerDied(MODEL, "signal 9"))
    reader, writer = await raw(serving, path, body(stream=True))
    text = (await soon(reader.read())).decode()
    writer.close()
    last = [line for line in text.splitlines() if "{" in line][-1]
    error = json.loads(last.removeprefix("data: "))["error"]
    message = error if path.startswith("/api") else error["message"]
    assert "ended unexpectedly (signal 9)" in message
    assert "[DONE]" not in text and '"done":true' not in text and text.endswith("0\r\n\r\n")
    async with httpx.AsyncClient(base_url=serving.url, trust_env=False, verify=False) as client:
        assert "ended unexpectedly" in (await client.post(path, json=body(stream=True))).text
        serving.engine.script = says(Delta(id=1, text="a"), finished())
        assert (await client.post(path, json=body(stream=True))).status_code == 200


async def test_one_dead_choice_ends_all(serving: Serving) -> None:
    """With n choices the first failure ends the stream and closes the others."""
    serving.engine.script = says(Delta(id=1, text="a"), RunnerDied(MODEL, "signal 9"))
    reader, writer = await raw(serving, PATHS[0], body(stream=True, n=4))
    assert b'"error"' in await soon(reader.read())
    writer.close()
    assert serving.engine.open == 0


async def test_pings_while_the_prompt_is_read(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of the chat that add nothing; the head and the role are there before the first token."""
    monkeypatch.setattr(streams, "PING_SECONDS", 0.005)
    serving.engine.hold, serving.engine.hold_at = asyncio.Event(), 1
    reader, writer = await raw(serving, PATHS[0], body(stream=True))
    nothing = b'"delta":{"content":""},"logprobs":null,"finish_reason":null}]}\n\n'
    head = await soon(reader.readuntil(nothing))
    assert head.startswith(b"HTTP/1.1 200") and b'"role":"assistant"' in head and b"Hel" not in head
    await soon(reader.readuntil(nothing))
    serving.engine.hold.set()
    rest = await soon(reader.readuntil(b"0\r\n\r\n"))
    writer.close()
    assert b"[DONE]" in rest and b"Hel" in rest


@pytest.mark.parametrize("path", PATHS)
async def test_a_pause_in_the_answer_is_filled_too(
    serving: Serving, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first token, in each dialect: what is sent then adds nothing."""
    monkeypatch.setattr(streams, "PING_SECONDS", 0.005)
    serving.engine.hold, serving.engine.hold_at = asyncio.Event(), 2
    reader, writer = await raw(serving, path, body(stream=True))
    await soon(reader.readuntil(b"Hel"))
    for _ in range(3):
        await soon(reader.readuntil(b"}\n"))
    serving.engine.hold.set()
    rest = await soon(reader.readuntil(b"0\r\n\r\n"))
    writer.close()
    assert b'"stop"' in rest and b"error" not in rest


async def test_line_ends_of_other_readers_are_escaped(serving: Serving) -> None:
    """U+0085, U+2028 and U+2029 end a line for some readers: they leave as escapes and arrive as themselves."""
    odd = "a\u2028b\u2029c\u0085d\ne"
    serving.engine.script = says(Delta(id=1, text=odd), finished())
    async with httpx.AsyncClient(base_url=serving.url, trust_env=False, verify=False) as client:
        response = await client.post("/api/chat", json=body())
        documents = [json.loads(line) for line in response.text.splitlines()]
    assert documents[0]["message"]["content"] == odd and len(documents) == 2


async def test_waiting_deltas_leave_together() -> None:
    """Neighbours of one sequence merge; reasoning and text of it, other sequences, and calls keep their places."""
    a, b, c = Delta(id=1, text="a"), Delta(id=1, text="b"), Delta(id=1, reasoning="c")
    assert [(i, d.text, d.reasoning) for i, d in merged([(0, a), (0, b), (0, c), (1, a), (0, b)])] == [  # type: ignore[union-attr]
        (0, "ab", ""),
        (0, "", "c"),
        (1, "a", ""),
        (0, "b", ""),
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_request_timeout(tmp_path: Path, stream: bool) -> None:
    """server.request_timeout_seconds ends a request: 504, or an error record in a stream."""
    async with daemon(tmp_path, request_timeout_seconds=0.5) as serving:
        serving.engine.hold = asyncio.Event()
        reader, writer = await raw(serving, PATHS[0], body(stream=stream) | {"n": 1})
        text = (await soon(reader.readuntil(b"timeout_seconds"))).decode()
        writer.close()
        assert ("504" in text.split("\r\n")[0]) != stream
        await serving.left()


@pytest.mark.parametrize("path", PATHS)
async def test_a_reader_that_reads_nothing(tmp_path: Path, path: str) -> None:
    """Who takes nothing for the write limit loses the connection, and the generation is closed."""
    async with daemon(tmp_path, limits=ConnectionLimits(write_seconds=0.05)) as serving:
        serving.engine.script = says(*[Delta(id=1, text="x" * 60_000 + str(i)) for i in range(400)], finished())
        _, writer = await raw(serving, path, body(stream=True))
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await serving.left()
        assert await cancelled(serving) == 1
        writer.close()
