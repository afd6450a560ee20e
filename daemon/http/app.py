"""Sanic as this daemon uses it: one place that builds an app and one that serves it on sockets of our own.

What Sanic 25.12 gets wrong is put right in `exchange`, `connection` and here, and nowhere else.
"""

# mypy: disable-error-code="no-untyped-call"
# (many of Sanic's methods carry no types)

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from functools import partial
from types import SimpleNamespace
from typing import Any

import orjson
from sanic import Sanic
from sanic.config import Config
from sanic.exceptions import SanicException
from sanic.handlers import ErrorHandler
from sanic.http import Stage
from sanic.request import Request
from sanic.response import HTTPResponse

from ..context import Context
from ..errors import Draining
from .connection import Connection
from .exchange import ApiRequest
from .limits import MIB, InFlight, Limits

log = logging.getLogger("mlx_serve.daemon.http")

_BACKLOG = 1024
_DAY = 86_400
_MOMENT = 0.1
_OPEN_WHILE_DRAINING = ("/healthz", "/readyz", "/metrics", "/control/")


class App(Sanic[Config, SimpleNamespace]):
    """A Sanic app whose answers never end well when they did not, and that takes no new work while it drains."""

    async def dispatch(self, event: Any, **options: Any) -> Any:
        """Signals cost an exception each when nobody listens, one per chunk of every stream; nobody does here."""
        return await super().dispatch(event, **options) if self.signal_router.routes else None

    async def handle_request(self, request: Request) -> None:
        if self.ctx.serving.draining and not request.path.startswith(_OPEN_WHILE_DRAINING):
            await self.handle_exception(request, Draining(), False)
            return
        await super().handle_request(request)

    async def handle_exception(self, request: Request, exception: BaseException, run_middleware: bool = True) -> None:
        stream: Any = request.stream
        if stream is None:
            return
        if stream.stage is not Stage.HANDLER:
            await stream.break_off(exception)
            return
        response = None
        if run_middleware:
            middleware = (request.route and request.route.extra.request_middleware) or self.request_middleware
            try:
                response = await self._run_request_middleware(request, middleware)
            except Exception as refused:
                exception = refused
        if not response:
            response = self.error_handler.response(request, exception)
            if inspect.isawaitable(response):
                response = await response
        request.reset_response()
        response = await request.respond(response)
        await response.send(end_stream=True)


class JsonErrors(ErrorHandler):
    """Errors as JSON until the handlers install their own: never HTML, never what an exception says of our insides."""

    def response(self, request: Request, exception: BaseException) -> HTTPResponse:
        if isinstance(exception, SanicException):
            status, message = exception.status_code, str(exception)
        elif isinstance(exception, Draining):
            status, message = 503, str(exception)
        else:
            log.error("fail request reason=%s", type(exception).__name__, exc_info=exception)
            status, message = 500, "something went wrong inside the server; its log says what"
        return HTTPResponse(
            orjson.dumps({"error": {"message": message}}), status=status, content_type="application/json"
        )


def build_app(name: str, context: Context, *, control: bool, limits: Limits | None = None) -> App:
    """An app without routes. `control`: it is the one on the Unix socket. Handlers find `context` at `ctx.serving`."""
    Sanic._app_registry.pop(name, None)
    config = Config(env_prefix=None)
    config.TOUCHUP = False  # rewrites Http for the first app of a process and breaks the second
    config.AUTO_EXTEND = False
    config.MOTD = False
    config.ACCESS_LOG = False
    config.RESPONSE_TIMEOUT = config.REQUEST_TIMEOUT = config.KEEP_ALIVE_TIMEOUT = _DAY
    config.REQUEST_MAX_SIZE = context.settings.server.max_body_mb * MIB
    app = App(
        name,
        config=config,
        error_handler=JsonErrors(),
        request_class=ApiRequest,
        configure_logging=False,
        dumps=orjson.dumps,
        loads=orjson.loads,
    )
    app.ctx.serving = context
    app.ctx.control = control
    app.ctx.limits = limits or Limits()
    app.ctx.in_flight = InFlight(app.ctx.limits.body_in_flight)
    app.ctx.on_connection_lost = lambda: None
    return app


class Server:
    """An app that listens. To stop: `stop_listening`, `close_idle`, `finished`; for what is left `cancel`, `abort`."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._connections: set[Connection] = set()
        self._listeners: list[asyncio.AbstractServer] = []
        self._changed = asyncio.Event()
        app.ctx.on_connection_lost = self._changed.set

    async def listen(self, *socks: socket.socket) -> None:
        await self._app._startup()
        loop = asyncio.get_running_loop()
        connect = partial(
            Connection, loop=loop, app=self._app, connections=self._connections, state={"requests_count": 0}
        )
        for sock in socks:
            self._listeners.append(await loop.create_server(connect, sock=sock, backlog=_BACKLOG))

    def stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()

    def close_idle(self) -> None:
        """After a moment without a byte: a request may be on its way, and would be answered with a reset."""
        for connection in list(self._connections):
            self._close_when_silent(connection)

    def _close_when_silent(self, connection: Connection) -> None:
        def look_again() -> None:
            if connection in self._connections and connection.idle:
                if connection.silent_seconds >= _MOMENT:
                    connection.close(timeout=0.1)
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
        """End every request under way; each gets its error before its connection closes."""
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
