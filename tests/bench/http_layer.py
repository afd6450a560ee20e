"""Measures the processor time of the HTTP layer alone, without sockets and models, and of h11 beside our own parsing.

usage: http_layer.py [--requests 250] [--chunks 15000] [--repeats 50]
Prints one JSON object: microseconds, the least of the repeats, for a small GET, a 2 KB POST as an OpenAI client sends
it (by length and in chunks) and one chunk of a stream; and for parsing that POST's head and framing that chunk alone,
here and in h11.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import h11
from sanic import Request, response

from mlx_serve.daemon.http.app import build_app
from mlx_serve.daemon.http.connection import Connection
from mlx_serve.daemon.http.head import parse

SMALL = b"GET /small HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n"
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 1900}]}).encode()
HEAD = (
    b"POST /body HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: OpenAI/Python 1.99.1\r\nAccept: application/json\r\n"
    b"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n"
    b"X-Stainless-Lang: python\r\nX-Stainless-Package-Version: 1.99.1\r\nX-Stainless-OS: Linux\r\n"
    b"X-Stainless-Arch: x64\r\nX-Stainless-Async: async:asyncio\r\nAuthorization: Bearer none\r\n"
)
BY_LENGTH = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
IN_CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
RECORD = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"delta":{"content":" word"}}]}\n\n'


class Wire(asyncio.Transport):
    """Throws away what is written and sets `written` when that ends with `mark`."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.1", 50000)})
        self.mark = b""
        self.written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def write(self, data: Any) -> None:
        if data.endswith(self.mark) and not self.written.done():
            self.written.set_result(None)

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def resume_reading(self) -> None: ...
    def close(self) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0


@dataclass
class Client:
    """One connection to an app with the three routes."""

    wire: Wire
    connection: Connection

    @classmethod
    async def connect(cls) -> Client:
        context: Any = SimpleNamespace(settings=SimpleNamespace(server=SimpleNamespace(max_body_mb=1)), draining=False)
        app = build_app("bench", context, control=False)

        async def small(request: Request) -> response.HTTPResponse:
            return response.json({"ok": True})

        async def body(request: Request) -> response.HTTPResponse:
            await request.receive_body()  # type: ignore[no-untyped-call]
            return response.json({"size": len(request.body)})

        async def stream(request: Request) -> None:
            out = await request.respond(content_type="text/event-stream")
            for _ in range(int(request.args["n"][0])):
                await out.send(RECORD, end_stream=False)
            await out.send(b"data: [DONE]\n\n", end_stream=True)

        app.add_route(small, "/small", stream=True)
        app.add_route(body, "/body", methods=["POST"], stream=True)
        app.add_route(stream, "/stream", stream=True)
        await app._startup()  # type: ignore[no-untyped-call]
        client = cls(Wire(), Connection(app, set(), lambda: None))
        client.connection.connection_made(client.wire)
        await asyncio.sleep(0)
        return client

    async def ask(self, request: bytes, mark: bytes) -> None:
        self.wire.mark, self.wire.written = mark, asyncio.get_running_loop().create_future()
        self.connection.data_received(request)
        await self.wire.written


async def timed(call: Callable[[], Awaitable[object]], count: int, repeats: int, each: int = 1) -> float:
    """Microseconds for one of `each` things that every call does."""
    best = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        for _ in range(count):
            await call()
        best = min(best, time.process_time() - began)
    return round(best / count / each * 1e6, 2)


async def beside_h11(count: int, repeats: int) -> dict[str, float]:
    raw = BY_LENGTH.partition(b"\r\n\r\n")[0]
    peer = h11.Connection(h11.SERVER)
    peer.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    peer.next_event()
    peer.send(h11.Response(status_code=200, headers=[("Transfer-Encoding", "chunked")]))

    async def head() -> None:
        parse(raw)

    async def h11_head() -> None:
        reading = h11.Connection(h11.SERVER)
        reading.receive_data(raw + b"\r\n\r\n")
        reading.next_event()

    async def chunk() -> bytes:
        return b"%x\r\n%b\r\n" % (len(RECORD), RECORD)

    async def h11_chunk() -> bytes | None:
        return peer.send(h11.Data(data=RECORD))

    calls = {"head": head, "h11_head": h11_head, "chunk_frame": chunk, "h11_chunk_frame": h11_chunk}
    return {name: await timed(call, count, repeats) for name, call in calls.items()}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=250)
    parser.add_argument("--chunks", type=int, default=15_000)
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args()
    client = await Client.connect()
    count, repeats = options.requests, options.repeats
    stream = b"GET /stream?n=%d HTTP/1.1\r\nHost: a\r\n\r\n" % options.chunks
    costs = {
        "small_get": await timed(lambda: client.ask(SMALL, b"}"), count, repeats),
        "post_by_length": await timed(lambda: client.ask(BY_LENGTH, b"}"), count, repeats),
        "post_in_chunks": await timed(lambda: client.ask(IN_CHUNKS, b"}"), count, repeats),
        "chunk": await timed(lambda: client.ask(stream, b"0\r\n\r\n"), 1, repeats, each=options.chunks),
    }
    print(json.dumps(costs | await beside_h11(count, repeats)))


if __name__ == "__main__":
    asyncio.run(main())
