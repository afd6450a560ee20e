"""Deadlines and ends: slow clients, clients that hang up, answers that break, and a server that stops.

What happens here depends on transports, so each test runs on both kinds of loop (see conftest.py).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import replace

import pytest
from support.raw_http import HOST, PATIENT, Answer, statuses, wire
from support.waiting import GUARD

CLOSE = b"Connection: close\r\n"
QUICK = replace(PATIENT, head_seconds=0.2, body_seconds=0.2, idle_seconds=0.3, write_seconds=0.3, linger_seconds=0.5)


async def drip(writer: asyncio.StreamWriter, data: bytes, seconds: float) -> None:
    """One byte at a time, faster than any timer that a byte resets."""
    try:
        for byte in data:
            writer.write(bytes([byte]))
            await asyncio.sleep(seconds)
    except OSError:
        return


@pytest.mark.parametrize(
    ("whole", "dripping"),
    [
        (b"", b"GET /ok HTTP/1.1\r\nX: " + b"a" * 1000),
        (b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n", b"a" * 1000),
    ],
    ids=["head", "body"],
)
async def test_a_request_that_drips_is_cut_at_its_deadline(whole: bytes, dripping: bytes) -> None:
    async with wire(QUICK) as server:
        reader, writer = await server.connect()
        writer.write(whole)
        task = asyncio.create_task(drip(writer, dripping, 0.02))
        async with asyncio.timeout(GUARD):
            answer = Answer(await reader.read())
        task.cancel()
        assert answer.status == 408
        writer.close()


async def test_many_slow_heads_do_not_delay_a_good_request() -> None:
    async with wire() as server:
        slow = [await server.connect() for _ in range(100)]
        for _, writer in slow:
            writer.write(b"GET /ok HTTP/1.1\r\nX: ")
        async with asyncio.timeout(GUARD):
            assert await server.still_works()
        for _, writer in slow:
            writer.close()


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with wire(QUICK) as server:
        reader, writer = await server.connect()
        writer.write(b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\n")
        async with asyncio.timeout(GUARD):
            assert statuses(await reader.read()) == [200]
        writer.close()


async def test_a_long_silent_answer_is_not_cut() -> None:
    """Every deadline of the quick limits passes while the handler works; Sanic would have answered 503."""
    async with wire(QUICK) as server:
        reader, writer = await server.connect()
        writer.write(b"GET /stream?end=gate HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
        assert await server.event() == "begun"
        asyncio.get_running_loop().call_later(0.8, server.app.ctx.gate.set)
        async with asyncio.timeout(GUARD):
            assert Answer(await reader.read()).whole
        writer.close()


@pytest.mark.parametrize("size", [10, 63 << 10, 65 << 10, 5 << 20])
async def test_a_hang_up_behind_a_body_of_any_size_ends_the_handler(size: int) -> None:
    """Sanic stops reading at 64 KiB and never learns that the client has gone."""
    async with wire(max_body_mb=8) as server:
        _, writer = await server.connect()
        writer.write(b"POST /wait HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
        await writer.drain()
        assert await server.event() == "begun"
        writer.close()
        assert await server.event() == "cancelled"


async def test_a_hang_up_in_the_middle_of_a_stream_ends_the_handler() -> None:
    async with wire() as server:
        reader, writer = await server.connect()
        writer.write(b"GET /stream?end=hang HTTP/1.1\r\n" + HOST + b"\r\n")
        await reader.readuntil(b"data: 1\n\n")
        assert await server.event() == "begun"
        writer.transport.abort()
        assert await server.event() == "cancelled"


async def test_sending_64_kib_beyond_a_request_ends_it() -> None:
    """Otherwise reading would stop there, and a hang-up behind it would go unseen."""
    async with wire() as server:
        _, writer = await server.connect()
        writer.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        assert await server.event() == "begun"
        writer.write(b"x" * (70 << 10))
        assert await server.event() == "cancelled"
        writer.close()


async def test_a_reader_that_takes_nothing_is_dropped() -> None:
    async with wire(QUICK) as server:
        reader, writer = await server.connect()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /flood HTTP/1.1\r\n" + HOST + b"\r\n")
        assert await server.event() == "cancelled"
        writer.close()


async def test_a_stream_that_fails_ends_with_its_error_and_the_end_mark(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with wire() as server:
        with caplog.at_level(logging.INFO, "mlx_serve"):
            answer = await server.ask(b"GET /stream?end=fail HTTP/1.1\r\n" + HOST + b"\r\n")
    assert answer.wire.startswith(b"9\r\ndata: 1\n\n\r\n") and b'data: {"error":' in answer.wire and answer.whole
    assert b"secret" not in answer.wire
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert caplog.records[1].__dict__["fields"]["end"] == "error"


async def test_a_stream_of_http_10_that_fails_ends_with_its_error() -> None:
    async with wire() as server:
        said = await server.exchange(b"GET /stream?end=fail HTTP/1.0\r\n" + HOST + b"\r\n")
    assert said.splitlines()[-2].startswith(b'data: {"error":')


async def test_a_stream_without_records_that_fails_has_no_end_mark() -> None:
    """HTTP/1.0, where the end of the connection is the end of the body, gets a reset."""
    async with wire() as server:
        answer = await server.ask(b"GET /stream?end=fail&type=text/plain HTTP/1.1\r\n" + HOST + b"\r\n")
        assert not answer.whole and b"error" not in answer.wire
        with pytest.raises(ConnectionResetError):
            await server.exchange(b"GET /stream?end=fail&type=text/plain HTTP/1.0\r\n" + HOST + b"\r\n")


async def test_a_whole_stream_ends_with_the_end_mark_and_the_connection_lives_on() -> None:
    async with wire() as server:
        one = b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n"
        said = await server.exchange(one + one.replace(b"\r\n\r\n", b"\r\n" + CLOSE + b"\r\n"))
        assert statuses(said) == [200, 200] and said.count(b"0\r\n\r\n") == 2


async def test_draining_refuses_new_requests_on_open_connections_but_not_the_probes() -> None:
    async with wire() as server:
        reader, writer = await server.connect()
        writer.write(b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"200 OK" in await reader.readuntil(b"}")
        server.app.ctx.serving.draining = True
        writer.write(b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\n")
        answer = Answer(await reader.read())
        assert answer.status == 503 and b"shutting down" in answer.wire and answer.headers["connection"] == "close"
        writer.close()
        assert (await server.ask(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")).status == 200


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("text/event-stream", b'data: {"error":{"message":"the server is shutting down'),
        ("application/x-ndjson", b'{"error":{"message":"the server is shutting down'),
    ],
)
async def test_a_stream_cut_by_the_drain_gets_an_error_record(kind: str, record: bytes) -> None:
    async with wire() as server:
        reader, writer = await server.connect()
        writer.write(b"GET /stream?end=hang&type=" + kind.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert await server.event() == "begun"
        server.app.ctx.serving.draining = True
        server.server.cancel()
        answer = Answer(await reader.read())
        assert await server.event() == "cancelled"
        assert record in answer.wire and answer.whole
        assert await server.server.finished(GUARD)
        writer.close()


async def test_a_request_cut_by_the_drain_before_its_answer_gets_503() -> None:
    async with wire() as server:
        reader, writer = await server.connect()
        writer.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        assert await server.event() == "begun"
        server.server.cancel()
        assert Answer(await reader.read()).status == 503
        writer.close()


async def test_close_idle_leaves_the_busy_ones() -> None:
    async with wire() as server:
        fresh, fresh_writer = await server.connect()
        kept, kept_writer = await server.connect()
        kept_writer.write(b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\n")
        await kept.readuntil(b"}")
        busy, busy_writer = await server.connect()
        busy_writer.write(b"GET /stream?end=gate HTTP/1.1\r\n" + HOST + b"\r\n")
        assert await server.event() == "begun"
        server.server.close_idle()
        assert await fresh.read() == b"" and await kept.read() == b""
        server.app.ctx.serving.draining = True
        server.app.ctx.gate.set()
        assert (await busy.readuntil(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")
        for writer in (fresh_writer, kept_writer, busy_writer):
            writer.close()


async def test_a_request_on_its_way_while_the_idle_are_closed_is_answered() -> None:
    """A connection is not reset, but told; one that then says nothing is closed all the same."""
    async with wire() as server:
        reader, writer = await server.connect()
        silent, silent_writer = await server.connect()
        server.app.ctx.serving.draining = True
        server.server.close_idle()
        writer.write(b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\n")
        assert Answer(await reader.read()).status == 503
        assert await silent.read() == b"" and await server.server.finished(GUARD)
        writer.close()
        silent_writer.close()


async def test_over_the_bound_the_oldest_idle_connection_makes_room() -> None:
    async with wire(replace(PATIENT, connections=2)) as server:
        first, first_writer = await server.connect()
        first_writer.write(b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\n")
        await first.readuntil(b"}")
        _, second_writer = await server.connect()
        second_writer.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        assert await server.event() == "begun"
        _, third_writer = await server.connect()
        third_writer.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        assert await server.event() == "begun"
        assert await first.read() == b""
        answer = await server.ask(b"")
        assert answer.status == 503 and answer.whole and len(answer.headers["x-request-id"]) == 16
        for writer in (first_writer, second_writer, third_writer):
            writer.close()
