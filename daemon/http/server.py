"""An app that listens on sockets of our own, and how its connections end."""

# mypy: disable-error-code="no-untyped-call"
# (many of Sanic's methods carry no types)

from __future__ import annotations

import asyncio
import socket
from functools import partial

from .app import App
from .connection import Connection

_BACKLOG = 1024
_MOMENT = 0.1


class Server:
    """To stop: `stop_listening`, `close_idle`, `finished`; for what is left `cancel`, `abort`."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._connections: set[Connection] = set()
        self._listeners: list[asyncio.AbstractServer] = []
        self._changed = asyncio.Event()

    async def listen(self, *socks: socket.socket) -> None:
        await self._app._startup()
        loop = asyncio.get_running_loop()
        connect = partial(Connection, self._app, self._connections, self._changed.set)
        for sock in socks:
            self._listeners.append(await loop.create_server(connect, sock=sock, backlog=_BACKLOG))

    def stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()

    def close_idle(self) -> None:
        """Not before a moment without a byte: a request that is being sent would be answered with a reset."""
        for connection in list(self._connections):
            self._close_when_silent(connection)

    def _close_when_silent(self, connection: Connection) -> None:
        def look_again() -> None:
            if connection in self._connections and connection.idle:
                if connection.silent_seconds >= _MOMENT:
                    connection.close(_MOMENT)
                else:
                    self._close_when_silent(connection)

        asyncio.get_running_loop().call_later(_MOMENT, look_again)

    @property
    def open(self) -> int:
        return len(self._connections)

    async def finished(self, seconds: float) -> bool:
        """Wait until no connection is left. False when some are after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while self._connections:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def cancel(self) -> None:
        """End every running request; each gets an error before its connection closes."""
        for connection in list(self._connections):
            connection.cancel()

    def abort(self) -> None:
        for connection in list(self._connections):
            connection.abort()


async def serve(app: App, *socks: socket.socket) -> Server:
    """Answer on sockets that are bound already."""
    server = Server(app)
    await server.listen(*socks)
    return server
