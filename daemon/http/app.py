"""Sanic as this daemon uses it: routing, middleware and errors. The protocol is ours (`connection`, `exchange`)."""

# mypy: disable-error-code="no-untyped-call"
# (many of Sanic's methods carry no types)

from __future__ import annotations

import inspect
import logging
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
from .limits import ConnectionLimits, InFlight
from .request import ApiRequest

log = logging.getLogger("mlx_serve.daemon.http")

_OPEN_WHILE_DRAINING = ("/healthz", "/readyz", "/metrics", "/control/")


class App(Sanic[Config, SimpleNamespace]):
    """A Sanic app whose failed responses never look complete, and that refuses new requests while it drains."""

    async def dispatch(self, event: Any, **options: Any) -> Any:
        """Sanic's signals have no handlers here, and each would cost a failed look-up, several for every request."""

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
    """Errors as JSON until the handlers install their own: never HTML, never internal details."""

    def response(self, request: Request, exception: BaseException) -> HTTPResponse:
        if isinstance(exception, SanicException):
            status, message = exception.status_code, str(exception)
        elif isinstance(exception, Draining):
            status, message = 503, str(exception)
        else:
            log.error("fail request reason=%s", type(exception).__name__, exc_info=exception)
            status, message = 500, "internal error in the server; see its log"
        return HTTPResponse(
            orjson.dumps({"error": {"message": message}}), status=status, content_type="application/json"
        )


def build_app(name: str, context: Context, *, control: bool, limits: ConnectionLimits | None = None) -> App:
    """An app without routes. `control`: it is the one on the Unix socket. Handlers find `context` at `ctx.serving`."""
    Sanic._app_registry.pop(name, None)
    config = Config(env_prefix=None)
    config.TOUCHUP = False  # rewrites the source of this module's App, for the first app of a process only
    config.AUTO_EXTEND = False
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
    app.ctx.limits = limits or ConnectionLimits()
    app.ctx.in_flight = InFlight(app.ctx.limits.body_in_flight)
    return app
