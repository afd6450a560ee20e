"""Clients that shut down their sending side: one that waits for its answer gets it, one that has gone is noticed.

What happens here depends on transports, so each test runs on both kinds of loop (see conftest.py). h11 reads the
answers: bytes that were sent as probes must be part of a response that any reader takes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import h11
import pytest
from sanic.response import HTTPResponse
from support.raw_http import HOST, PATIENT, Wire, statuses, wire

from mlx_serve.daemon.http import connection
from mlx_serve.daemon.http.response import ResponseWriter

GET_OK = b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\n"
GET_WAIT = b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n"
GATED = b"GET /stream?end=gate HTTP/1.1\r\n" + HOST + b"\r\n"


def post(body: bytes, more: bytes = b"") -> bytes:
    return b"POST /echo HTTP/1.1\r\n" + HOST + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def read(raw: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of one whole response, as h11 understands it."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "localhost")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    client.receive_data(b"")
    response, body = client.next_event(), b""
    assert isinstance(response, h11.Response)
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    return response.status_code, dict(response.headers), body


async def half_closed(server: Wire, data: bytes) -> bytes:
    """What a client is told that says this and shuts down its side at once."""
    reader, writer = await server.connect()
    writer.write(data)
    writer.write_eof()
    async with asyncio.timeout(10):
        said = await reader.read()
    writer.close()
    return said


@asynccontextmanager
async def waiting(server: Wire, data: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """The same while its handler is at work."""
    reader, writer = await server.connect()
    writer.write(data)
    writer.write_eof()
    assert await server.event() == "begun"
    async with asyncio.timeout(10):
        yield reader, writer
    writer.close()


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (GET_OK, b'{"path":"/ok"}'),
        (GET_OK.replace(b"1.1", b"1.0"), b'{"path":"/ok"}'),
        (post(b"x" * 300_000), b"x" * 300_000),
        (b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n", b"data: 1\n\ndata: 2\n\n"),
        (b"GET /stream HTTP/1.0\r\n" + HOST + b"\r\n", b"data: 1\n\ndata: 2\n\n"),
        (post(b"abc", b"Expect: 100-continue\r\n"), b"abc"),
    ],
)
async def test_a_request_and_the_end_of_what_the_client_sends_are_answered(request_: bytes, body: bytes) -> None:
    async with wire(PATIENT) as server:
        status, _, said = read(await half_closed(server, request_))
        assert (status, said) == (200, body)
        assert await server.server.finished(2)


async def test_every_request_before_the_end_is_answered() -> None:
    async with wire(PATIENT) as server:
        assert statuses(await half_closed(server, GET_OK + post(b"abc") + GET_OK)) == [200, 200, 200]


@pytest.mark.parametrize("cut", [post(b"abcdef")[:-1], GET_OK[:-2], b"G"])
async def test_half_a_request_is_400(cut: bytes) -> None:
    async with wire(PATIENT) as server:
        status, headers, said = read(await half_closed(server, cut))
        assert (status, headers[b"connection"]) == (400, b"close") and b"before its" in said


async def test_the_end_without_a_request_closes_the_connection() -> None:
    async with wire(PATIENT) as server:
        assert await half_closed(server, b"") == b""
        reader, writer = await server.connect()
        writer.write(GET_OK)
        assert b"200 OK" in await reader.readuntil(b"}")
        writer.write_eof()
        assert await reader.read() == b"" and await server.server.finished(2)
        writer.close()


async def test_a_client_that_waits_gets_the_beginning_ahead_of_time_and_then_the_rest() -> None:
    """The probes are bytes of the status line, which the rest goes on from."""
    async with wire(PATIENT) as server, waiting(server, b"GET /gate HTTP/1.1\r\n" + HOST + b"\r\n") as (reader, _):
        early = await reader.readexactly(3)
        server.app.ctx.gate.set()
        status, headers, body = read(early + await reader.read())
        assert (early, status, body, headers[b"connection"]) == (b"HTT", 200, b"open", b"close")


async def test_a_stream_that_is_silent_sends_zeros_before_its_next_chunk() -> None:
    async with wire(PATIENT) as server, waiting(server, GATED) as (reader, _):
        begun = await reader.readuntil(b"data: 1\n\n\r\n")
        early = await reader.readexactly(2)
        server.app.ctx.gate.set()
        status, _, body = read(begun + early + await reader.read())
        assert (early, status, body) == (b"00", 200, b"data: 1\n\ndata: 2\n\n")


async def test_no_probe_is_sent_while_the_head_waits_for_the_client() -> None:
    """The head goes on from the probes before it; one in between would stand twice on the wire."""
    sent, free = [], asyncio.Event()

    async def write(data: bytes) -> None:
        await free.wait()
        sent.append(data)

    writer = ResponseWriter(write, lambda: True, request_id="a", version="1.1", head_only=False)
    writer.response = HTTPResponse("text")
    early = writer.probe() + writer.probe()
    assert writer.send is not None
    sending = asyncio.ensure_future(writer.send(b"", True))
    await asyncio.sleep(0)
    assert writer.probe() == b""
    free.set()
    await sending
    assert read(early + sent[0])[2] == b"text" and writer.probe() == b""


async def test_there_are_only_so_many_probes() -> None:
    """A status line is the same for every status up to its version, and the size of a chunk has 16 digits at most."""

    async def write(data: bytes) -> None:
        sent.append(data)

    sent: list[bytes] = []
    writer = ResponseWriter(write, lambda: True, request_id="a", version="1.1", head_only=False)
    writer.response = HTTPResponse()
    sent += [writer.probe() for _ in range(20)]
    assert writer.send is not None
    await writer.send(b"a", False)
    sent += [writer.probe() for _ in range(20)]
    await writer.send(b"b", True)
    sent += [writer.probe() for _ in range(20)]
    raw = b"".join(sent)
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n") and raw.endswith(b"\r\n1\r\na\r\n000000001\r\nb\r\n0\r\n\r\n")
    assert read(raw)[2] == b"ab"


async def test_a_client_that_goes_at_once_is_noticed() -> None:
    """Its end comes as early as that of one who waits; the probes tell the two apart."""
    async with wire(PATIENT) as server:
        _, writer = await server.connect()
        writer.write(GET_WAIT)
        writer.close()
        assert [await server.event(), await server.event()] == ["begun", "cancelled"]


async def test_a_client_that_goes_in_a_silent_stream_is_noticed() -> None:
    async with wire(PATIENT) as server:
        reader, writer = await server.connect()
        writer.write(b"GET /stream?end=hang HTTP/1.1\r\n" + HOST + b"\r\n")
        await reader.readuntil(b"data: 1\n\n\r\n")
        writer.close()
        assert [await server.event(), await server.event()] == ["begun", "cancelled"]


async def test_a_client_that_waits_and_then_goes_is_noticed() -> None:
    async with wire(PATIENT) as server, waiting(server, GET_WAIT) as (reader, writer):
        assert await reader.readexactly(1) == b"H"
        writer.close()
        assert await server.event() == "cancelled"


async def test_an_end_that_comes_later_means_that_the_client_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No probe could tell: this one still reads."""
    async with wire(PATIENT) as server:
        reader, writer = await server.connect()
        writer.write(GET_WAIT)
        assert await server.event() == "begun"
        monkeypatch.setattr(connection, "HALF_CLOSE_SECONDS", 0)
        writer.write_eof()
        assert await server.event() == "cancelled"
        assert await reader.read() == b""
        writer.close()


async def test_a_client_of_a_unix_socket_that_goes_at_once_is_noticed(short_path: Path) -> None:
    """No reset comes back there, but the first probe fails."""
    path = str(short_path / "socket")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    async with wire(PATIENT, sock=listening) as server:
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(GET_WAIT)
        writer.close()
        assert [await server.event(), await server.event()] == ["begun", "cancelled"]
