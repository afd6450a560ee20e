"""One HTTP/1.1 exchange: a request is received, handed to Sanic, answered, and what is left of it is dropped.

An Exchange is what Sanic calls a request's `stream`. It stands in for Sanic's own (`sanic.http.Http`), which accepts
malformed heads, misses disconnects behind large bodies, and ends failed responses as if they were complete. Here:

- the head is checked strictly (`head`), the body has limits and deadlines (`body`)
- a response that fails after its head ends with an error record and without HTTP's end mark, so that no client takes it
  for complete
- a client that is refused can read why: what it still sends is read and dropped before the connection closes
"""

# mypy: disable-error-code="no-untyped-call"
# (many of Sanic's methods carry no types)

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import struct
from collections.abc import AsyncGenerator
from time import monotonic
from typing import Any, Protocol

from sanic import Sanic
from sanic.compat import Header
from sanic.exceptions import BadURL, RequestTimeout, SanicException, ServerError
from sanic.http import Stage
from sanic.models.server_types import ConnInfo
from sanic.response import BaseHTTPResponse

from ..errors import Draining
from . import head as heads
from .body import Body
from .head import RefusedRequest
from .limits import MIB, ConnectionLimits
from .outlet import Outlet
from .receive_buffer import EndOfInput, ReceiveBuffer
from .response import ResponseWriter, Send, error_record

log = logging.getLogger("mlx_serve.daemon.http")


class Peer(Protocol):
    """What an exchange needs of its connection."""

    app: Sanic[Any, Any]
    received: ReceiveBuffer
    transport: asyncio.Transport
    conn_info: ConnInfo
    behind: bool

    async def write(self, data: bytes) -> None: ...


class Exchange:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._app = peer.app
        self._limits: ConnectionLimits = peer.app.ctx.limits
        self._started = monotonic()
        self._body: Body | None = None
        self._request: Any = None
        self._writer: ResponseWriter | None = None
        self._last = True  # no other request can follow on the connection
        self._failed = False
        self._errored = False
        self._refusal: str | None = None

    async def run(self) -> bool:
        """Whether another request can follow on the connection."""
        try:
            await self._answer()
        finally:
            self._log_access()
        follows = await self._clear()
        if self._request is not None:
            self._request.stream = None
        if self.response is not None:
            self.response.stream = None
        return follows

    async def _answer(self) -> None:
        try:
            await self._receive_head()
            await self._app.handle_request(self._request)
            if self.stage is Stage.HANDLER:
                raise ServerError("the handler gave no response")
            if self.stage is Stage.RESPONSE and not self._failed and self.response is not None:
                await self.response.send(end_stream=True)
        except EndOfInput:
            return  # there was no request
        except asyncio.CancelledError:
            self._last = True
            if not self._gone:
                await self._report(Draining())
        except Exception as error:
            await self._report(error)

    # --- what Sanic uses of a request's stream ------------------------------------------------------------------------

    request_max_size = math.inf  # Sanic sets it for handlers that stream; `whole_body` has the limit

    @property
    def stage(self) -> Stage:
        return Stage.REQUEST if self._writer is None else self._writer.stage

    @property
    def request_body(self) -> bool:
        """Whether there is some of the request's body to receive."""
        return self._body is not None and not self._body.complete

    @property
    def response(self) -> BaseHTTPResponse | None:
        return None if self._writer is None else self._writer.response

    @response.setter
    def response(self, response: BaseHTTPResponse | None) -> None:
        if self._writer is not None:
            self._writer.response = response

    @property
    def send(self) -> Send | None:
        """Takes the next part of the response; None when that has ended."""
        return None if self._writer is None else self._writer.send

    def respond(self, response: BaseHTTPResponse) -> BaseHTTPResponse:
        """Let this be the response. The head leaves with the first `send`; until then another can take its place."""
        if self.stage is not Stage.HANDLER:
            raise ServerError("the response has begun already")
        if self.response is not None:
            self.response.stream = None
        self.response = response
        response.stream = self  # type: ignore[assignment]
        return response

    def __aiter__(self) -> AsyncGenerator[bytes]:
        return self.parts()

    # --- what the handlers use ----------------------------------------------------------------------------------------

    async def whole_body(self) -> bytes:
        """Within `server.max_body_mb`. Raises PayloadTooLarge, RequestTimeout, BadRequest or RefusedRequest."""
        assert self._body is not None  # a handler runs, so the head is in
        limit = self._app.ctx.serving.settings.server.max_body_mb * MIB
        return await self._body.whole(limit, self._app.ctx.in_flight)

    def parts(self) -> AsyncGenerator[bytes]:
        """The body as it arrives, of any size, for what goes to disk. Raises RequestTimeout or BadRequest."""
        assert self._body is not None
        return self._body.parts()

    def outlet(self) -> Outlet | None:
        """Of the response that is under way; None where it is none whose parts may be written like this."""
        frame = None if self._writer is None else self._writer.frame
        return None if frame is None else Outlet(self._peer, frame)

    def probe(self) -> bytes:
        """A byte to send early, to see whether the client is still there; b"" when there is none."""
        return b"" if self._writer is None else self._writer.probe()

    async def break_off(self, error: BaseException) -> None:
        """The response has begun: it ends with the error as its last record, so that every reader gets to see that.
        Without its end mark where its content has no records."""
        known, send, response = self._failed, self.send, self.response
        self.ends_with_error()
        rendered = self._app.error_handler.response(self._request, error)  # which logs unexpected ones
        record = b"" if response is None else error_record(response, self._request.path, rendered.body or b"")
        if send is None or not record or known:
            self.fail()
        else:
            await send(record, True)

    def ends_with_error(self) -> None:
        """The response under way ends with a record of an error; then the connection closes."""
        self._last = self._errored = True

    def fail(self) -> None:
        """The response under way cannot be finished: the connection will close without the end mark."""
        self._failed = self._last = True
        if self._request.version == "1.0" and self.stage is Stage.RESPONSE:
            # Such a response ends with the connection; only a reset distinguishes a broken one from a complete one.
            held = self._peer.transport.get_extra_info("socket")
            if held is not None:
                held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    # --- the request --------------------------------------------------------------------------------------------------

    async def _receive_head(self) -> None:
        raw = await heads.receive(self._peer.received, self._limits.head_seconds)
        head = heads.parse(raw)
        try:
            self._begin(head.method, head.target, head.version, head.headers, raw)
        except BadURL:
            raise RefusedRequest(400, "the request's target must be a path such as /v1/models") from None
        self._last = not head.keep_alive
        self._body = Body(head, self._peer.received, self._peer.write, self._limits)

    def _begin(
        self, method: str, target: str, version: str, headers: tuple[tuple[str, str], ...] = (), raw: bytes = b""
    ) -> None:
        """From here on there is a request, and a response can be given. Raises BadURL."""
        request: Any = self._app.request_class(
            url_bytes=target.encode("ascii"),
            headers=Header(headers),
            version=version,
            method=method,
            transport=self._peer.transport,  # type: ignore[arg-type]
            app=self._app,
            head=raw,
        )
        request.conn_info = self._peer.conn_info
        request.stream = self
        self._request = request
        self._writer = ResponseWriter(
            self._peer.write, self._reusable, request_id=str(request.id), version=version, head_only=method == "HEAD"
        )

    def _reusable(self) -> bool:
        """Whether the response can say that another request may follow."""
        received, body = self._peer.received, self._body
        if body is not None and (body.lost or body.too_much_to_discard):
            return False
        exhausted = received.ended and not received.data
        return not (self._last or exhausted or self._app.ctx.serving.draining)

    # --- errors -------------------------------------------------------------------------------------------------------

    async def _report(self, error: Exception) -> None:
        """Answer with an error, or end with it the response that has begun."""
        if self._writer is None:
            self._refusal = "slow head" if isinstance(error, RequestTimeout) else str(error)
            try:
                self._begin("NONE", getattr(error, "target", "/"), "1.1")
            except SanicException:
                self._begin("NONE", "/", "1.1")
        try:
            await self._app.handle_exception(self._request, error, False)
        except asyncio.CancelledError:
            self._last = True
        except Exception as second:
            self._last = True
            log.error("fail error_answer reason=%s", type(second).__name__, exc_info=second)

    # --- the end ------------------------------------------------------------------------------------------------------

    @property
    def _gone(self) -> bool:
        """The client has hung up, or the connection is being closed from this side."""
        return self._peer.conn_info.lost or self._peer.transport.is_closing()

    async def _clear(self) -> bool:
        """Drop what is left of the request, so that the next one can begin or the client can read its answer."""
        if self._gone or self._failed or self._writer is None:
            return False
        body = self._body
        follows = self._writer.keep_alive and not self._last and not self._app.ctx.serving.draining
        if follows and body is not None and not body.complete:
            await body.discard()
            follows = not body.lost
        if not follows and (self._refusal or self.request_body):
            await self._linger()
        return follows

    async def _linger(self) -> None:
        """Closing with bytes unread resets the connection, and the client may see the reset before the answer."""
        received = self._peer.received
        with contextlib.suppress(TimeoutError, EndOfInput):
            async with asyncio.timeout(self._limits.linger_seconds):
                self._peer.transport.write_eof()
                while not self._gone:
                    received.data.clear()
                    await received.more()

    def _log_access(self) -> None:
        request, stage = self._request, self.stage
        lost = self._peer.conn_info.lost and stage is not Stage.IDLE
        if request is None:
            return  # the client disconnected before its head was complete
        fields: dict[str, object] = {
            "method": request.method,
            "path": request.path,
            "status": 499 if lost else getattr(self.response, "status", 0),
            "seconds": round(monotonic() - self._started, 4),
            "id": request.id,
        }
        open_request = getattr(request.ctx, "open", None)
        if open_request is not None:
            fields |= open_request.noted()
        if self._refusal:
            fields["reason"] = self._refusal
        if self._failed or (self._gone and not lost and stage is Stage.RESPONSE):
            fields["end"] = "broken"
        elif self._errored:
            fields["end"] = "error"
        # What a page asks for all the time would fill the log.
        level = logging.DEBUG if getattr(request.ctx, "quiet", False) and fields["status"] == 200 else logging.INFO
        log.log(level, "answer request", extra={"fields": fields})
