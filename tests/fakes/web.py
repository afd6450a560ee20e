"""A little internet: names with the addresses that a test gives them, and servers that do what a script says.

Whatever address is connected to, it is a server of this process that answers; `dialled` has the addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any

import httpcore2

from mlx_serve.daemon.fetching.checked_network import connect
from mlx_serve.daemon.fetching.fetch_limits import FetchLimits
from mlx_serve.daemon.fetching.fetcher import Fetcher

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
PUBLIC, OTHER = "93.184.215.14", "151.101.1.1"


class Web:
    """`names`: host to its addresses, one list after the other where there are several; `pages`: path to an answer.

    `asked` are the heads of the requests; `open` counts connections, `most_open` the most at once.
    """

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.pages: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.dialled: list[str] = []
        self.open = self.most_open = 0
        self.closed = asyncio.Event()
        self.opened: asyncio.Queue[str] = asyncio.Queue()
        self.deaf: set[str] = set()
        self.port = 0

    async def resolve(self, host: str, port: int) -> list[str]:
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown in this test")
        answers = self.names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def connect(self, address: str, port: int, seconds: float) -> httpcore2.AsyncNetworkStream:
        self.dialled.append(address)
        if address in self.deaf:
            raise httpcore2.ConnectError("refused in this test")
        return await connect("127.0.0.1", self.port, seconds)

    def fetcher(self, *, private: bool = False, **limits: Any) -> Fetcher:
        return Fetcher(
            private=private,
            version="0.4.2",
            limits=FetchLimits(**limits),
            resolve=self.resolve,
            connect=self.connect,
        )

    @property
    def paths(self) -> list[str]:
        return [head.split()[1] for head in self.asked]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            path = head.split()[1]
            self.opened.put_nowait(path)
            answering = asyncio.ensure_future(self.pages[path](writer))
            leaving = asyncio.ensure_future(reader.read(1))  # the client sends no more: it ends when the client leaves
            await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            self.closed.set()
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def web(context: ssl.SSLContext | None = None) -> AsyncGenerator[Web]:
    """One server for all addresses; `context`: it speaks TLS."""
    made = Web()
    made.names = {"pictures.example": [[PUBLIC]], "other.example": [[OTHER]]}
    server = await asyncio.start_server(made._serve, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


async def fetched(fetcher: Fetcher, urls: Iterable[str], most: int = 64 << 20) -> dict[str, bytes]:
    """As a request does: what it holds is given back at its end."""
    share = fetcher.budget.share()
    try:
        return await fetcher.fetch(urls, most, share)
    finally:
        share.release()


def says(head: str, body: bytes = b"") -> Answer:
    """An answer as it goes over the wire: its status and header lines, then its body."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\n\r\n".encode() + body)
        await writer.drain()

    return answer


def file(data: bytes, *headers: str) -> Answer:
    return says("\r\n".join(["200 OK", f"Content-Length: {len(data)}", *headers]), data)


def redirect(location: str, status: int = 302) -> Answer:
    return says(f"{status} Found\r\nLocation: {location}\r\nContent-Length: 0")


def drip(*, head: bool = False) -> Answer:
    """One byte every twentieth of a second, for ever; with `head` not even the head ends."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + (b"X: " if head else b"Content-Length: 1000000\r\n\r\n"))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    return answer


def endless(head: str) -> Answer:
    """A body without an end, as fast as it is taken; chunked when the head says so."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        part = b"x" * 65536
        while True:
            writer.write(b"10000\r\n" + part + b"\r\n" if "chunked" in head else part)
            await writer.drain()

    return answer
