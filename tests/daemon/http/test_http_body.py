"""Bodies: whole or in chunks, within their limits and deadlines."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.raw_http import HOST, PATIENT, statuses, wire

CLOSE = b"Connection: close\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\n" + HOST + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"


def post(length: int, path: bytes = b"/echo", more: bytes = CLOSE) -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + more + b"Content-Length: %d\r\n\r\n" % length


async def test_chunks_become_one_body() -> None:
    async with wire() as server:
        answer = await server.ask(CHUNKED + b"3\r\nabc\r\nA;name=value\r\n0123456789\r\n0\r\n\r\n")
        assert answer.wire == b"abc0123456789"


@pytest.mark.parametrize(
    "chunks",
    [
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"3_0\r\nabc\r\n0\r\n\r\n",
        "٣\r\nabc\r\n0\r\n\r\n".encode(),
        b"\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcX0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n",
        b"3;" + b"x" * 1000 + b"\r\nabc\r\n0\r\n\r\n",
        b"fffffffff\r\nabc",
    ],
)
async def test_odd_chunks_are_400_and_end_the_connection(chunks: bytes) -> None:
    smuggled = b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\n"
    async with wire() as server:
        assert statuses(await server.exchange(CHUNKED.replace(CLOSE, b"") + chunks + smuggled)) == [400]


async def test_a_declared_length_over_the_limit_is_413_before_anything_is_read() -> None:
    async with wire(max_body_mb=1) as server:
        answer = await server.ask(post((1 << 20) + 1))
        assert answer.status == 413 and b"1 MiB" in answer.wire
        assert answer.headers["connection"] == "close"


async def test_a_client_that_sends_all_of_a_refused_body_can_read_the_answer() -> None:
    """Closing at once would reset the connection under the client, and the answer would be lost."""
    async with wire(max_body_mb=1) as server:
        answer = await server.ask(post(20 << 20) + b"x" * (20 << 20))
        assert answer.status == 413


async def test_chunks_over_the_limit_are_413() -> None:
    async with wire(max_body_mb=1) as server:
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        answer = await server.ask(CHUNKED + chunk * 17 + b"0\r\n\r\n")
        assert answer.status == 413


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    async with wire(max_body_mb=1) as server:
        answer = await server.ask(post(1 << 20) + b"x" * (1 << 20))
        assert answer.status == 200 and answer.whole


async def test_a_handler_that_streams_its_body_has_no_limit_of_ours() -> None:
    async with wire(max_body_mb=1) as server:
        answer = await server.ask(post(3 << 20, b"/upload") + b"x" * (3 << 20))
        assert answer.wire == str(3 << 20).encode()


async def test_continue_is_sent_only_when_the_body_will_be_read() -> None:
    expect = b"Expect: 100-continue\r\n"
    async with wire(max_body_mb=1) as server:
        reader, writer = await server.connect()
        writer.write(post(3, more=expect + CLOSE))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert statuses(await reader.read()) == [200]
        writer.close()
        assert statuses(await server.exchange(post(2 << 20, more=expect))) == [413]


async def test_many_unfinished_bodies_at_once_are_503() -> None:
    limits = replace(PATIENT, body_in_flight=100_000)
    async with wire(limits, max_body_mb=1) as server:
        _, writer = await server.connect()
        writer.write(post(1 << 20) + b"x" * 90_000)
        await writer.drain()
        while server.app.ctx.in_flight.held < 90_000:
            await asyncio.sleep(0)
        answer = await server.ask(post(20_000) + b"x" * 20_000)
        assert answer.status == 503
        writer.close()
        await writer.wait_closed()
        while server.app.ctx.in_flight.held:
            await asyncio.sleep(0)
        assert (await server.ask(post(20_000) + b"x" * 20_000)).status == 200


async def test_a_body_nobody_read_does_not_become_the_next_request() -> None:
    hidden = b"GET /nope HTTP/1.1\r\nHost: a\r\n\r\n"
    request = b"GET /ok HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(hidden) + hidden
    async with wire() as server:
        last = b"GET /ok HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"
        assert statuses(await server.exchange(request + last)) == [200, 200]
