"""A real server on a free port with a few routes, and raw bytes to throw at it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from sanic import Request, response
from support.waiting import GUARD

from mlx_serve.daemon.http.app import App, build_app
from mlx_serve.daemon.http.limits import ConnectionLimits
from mlx_serve.daemon.http.server import Server, serve

HOST = b"Host: localhost\r\n"
PATIENT = ConnectionLimits(
    head_seconds=GUARD,
    body_seconds=GUARD,
    body_seconds_per_mib=0.0,
    idle_seconds=GUARD,
    write_seconds=GUARD,
    linger_seconds=GUARD,
)
"""No deadline that a busy machine could miss; a test of one of them shortens that one."""


class Answer:
    """One answer taken apart: status, header names in lower case, the body as it was on the wire."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.wire = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def whole(self) -> bool:
        """The end mark of a chunked answer, or as many bytes as were announced."""
        if "content-length" in self.headers:
            return len(self.wire) == int(self.headers["content-length"])
        return self.wire.endswith(b"0\r\n\r\n")


class Wire:
    """The server under test. `events` tells what its handlers lived through."""

    def __init__(self, app: App, server: Server, port: int) -> None:
        self.app = app
        self.server = server
        self.port = port
        self.events: asyncio.Queue[str] = app.ctx.events

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def exchange(self, data: bytes) -> bytes:
        """Everything the server says until it closes."""
        reader, writer = await self.connect()
        writer.write(data)
        async with asyncio.timeout(GUARD):
            said = await reader.read()
        writer.close()
        return said

    async def ask(self, data: bytes) -> Answer:
        return Answer(await self.exchange(data))

    async def event(self) -> str:
        async with asyncio.timeout(GUARD):
            return await self.events.get()

    async def still_works(self) -> bool:
        return (await self.ask(b"GET /ok HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")).status == 200


def statuses(said: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3})", said)]


def context(max_body_mb: int = 1) -> Any:
    return SimpleNamespace(settings=SimpleNamespace(server=SimpleNamespace(max_body_mb=max_body_mb)), draining=False)


@asynccontextmanager
async def wire(
    limits: ConnectionLimits = PATIENT, max_body_mb: int = 1, sock: socket.socket | None = None
) -> AsyncIterator[Wire]:
    """On a free port of loopback, or on a socket of the test's own."""
    app = build_app("wire", context(max_body_mb), control=False, limits=limits)
    app.ctx.events = asyncio.Queue()
    app.ctx.gate = asyncio.Event()
    _add_routes(app)
    sock = sock or socket.create_server(("127.0.0.1", 0))
    server = await serve(app, sock)
    address = sock.getsockname()
    try:
        yield Wire(app, server, address[1] if isinstance(address, tuple) else 0)
    finally:
        server.stop_listening()
        server.abort()
        await server.finished(GUARD)


def _add_routes(app: App) -> None:
    events: asyncio.Queue[str] = app.ctx.events

    async def until_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.put_nowait("cancelled")
            raise

    async def ok(request: Request) -> response.HTTPResponse:
        return response.json({"path": request.path})

    async def echo(request: Request) -> response.HTTPResponse:
        return response.raw(request.body)

    async def wait(request: Request) -> response.HTTPResponse:
        events.put_nowait("begun")
        await until_cancelled()
        return response.empty()

    async def gate(request: Request) -> response.HTTPResponse:
        events.put_nowait("begun")
        await app.ctx.gate.wait()
        return response.text("open")

    async def upload(request: Request) -> response.HTTPResponse:
        size = 0
        async for part in request.stream:
            size += len(part)
        return response.text(str(size))

    async def stream(request: Request) -> None:
        out = await request.respond(content_type=request.args.get("type", "text/event-stream"))
        await out.send("data: 1\n\n")
        events.put_nowait("begun")
        if request.args.get("end") == "fail":
            raise ValueError("secret detail")
        if request.args.get("end") == "hang":
            await until_cancelled()
        if request.args.get("end") == "gate":
            await app.ctx.gate.wait()
        await out.send("data: 2\n\n")
        await out.eof()

    async def flood(request: Request) -> None:
        out = await request.respond(content_type="text/event-stream")
        try:
            while True:
                await out.send(b"x" * 65536)
        except asyncio.CancelledError:
            events.put_nowait("cancelled")
            raise

    async def broken(request: Request) -> response.HTTPResponse:
        raise ValueError("secret detail")

    async def empty(request: Request) -> response.HTTPResponse:
        return response.empty()

    app.add_route(ok, "/ok", methods=["GET", "HEAD"])
    app.add_route(echo, "/echo", methods=["POST"])
    app.add_route(wait, "/wait", methods=["POST", "GET"])
    app.add_route(gate, "/gate", methods=["GET"])
    app.add_route(upload, "/upload", methods=["POST"], stream=True)
    app.add_route(stream, "/stream", methods=["GET", "HEAD"])
    app.add_route(flood, "/flood", methods=["GET"])
    app.add_route(broken, "/broken", methods=["GET"])
    app.add_route(empty, "/empty", methods=["GET"])
    app.add_route(ok, "/healthz", methods=["GET"], name="healthz")
