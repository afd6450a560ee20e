"""One HTTP/1.1 exchange after another on one connection: what Sanic 25.12 gets wrong on the wire, put right.

- heads are checked strictly (`head`), and bodies in chunks as strictly
- a head, a body, an idle connection and a reader that takes nothing have deadlines of their own
- reading goes on once the body is in, so a client that hangs up behind a large body is noticed
- an answer that fails on the way ends without HTTP's end mark, so that no client takes it for whole
- whoever is refused can read why: what it still sends is swallowed before the connection closes
"""

# mypy: disable-error-code="no-untyped-call"
# (many of Sanic's methods carry no types)

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import socket
import struct
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

from sanic.compat import Header
from sanic.exceptions import BadURL, RequestTimeout, SanicException, ServerError
from sanic.http import Http, Stage
from sanic.request import Request

from ..errors import Draining
from . import head as heads
from .body import Bodies
from .head import Refused
from .limits import MIB, Limits
from .response import Answers

log = logging.getLogger("mlx_serve.daemon.http")

_REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class ApiRequest(Request):
    """A request whose body is received within the limits."""

    async def receive_body(self) -> None:
        if not self.body and isinstance(self.stream, Exchange):
            self.body = await self.stream.whole_body()

    def parts(self) -> AsyncIterator[bytes]:
        """The body part by part; held in memory nowhere, and as long as it likes."""
        stream: Any = self.stream
        arriving: AsyncIterator[bytes] = stream.parts()
        return arriving


class Exchange(Answers, Bodies, Http):
    def __init__(self, protocol: object) -> None:
        super().__init__(protocol)
        self.limits: Limits = self.protocol.app.ctx.limits

    async def http1(self) -> None:
        while self.keep_alive and self.stage is Stage.IDLE:
            self.init_for_request()
            self.response_func = self.http1_response_header
            self.failed = False
            self._refusal: str | None = None
            if not self.recv_buffer and not await self._bytes_within(self.limits.idle_seconds):
                return
            self.stage = Stage.REQUEST
            self._started = monotonic()
            try:
                await self._exchange()
            finally:
                self._log_access()
            if self.protocol.app.ctx.serving.draining:
                self.keep_alive = False
            await self._leave_clean()
            self._release()

    async def _exchange(self) -> None:
        try:
            await self.http1_request_header()
            self.stage = Stage.HANDLER
            self.request.conn_info = self.protocol.conn_info
            await self.protocol.request_handler(self.request)
            if self.stage is Stage.HANDLER:
                raise ServerError("the handler gave no answer")
            if self.stage is Stage.RESPONSE and not self.failed:
                await self.response.send(end_stream=True)
        except asyncio.CancelledError:
            self.keep_alive = False
            if not self.gone:
                await self._say_goodbye()
        except Exception as error:
            await self.error_response(error)

    @property
    def gone(self) -> bool:
        """The client has hung up, or the connection is being closed from this side."""
        transport = self.protocol.transport
        return transport is None or transport.is_closing() or self.protocol.conn_info.lost

    async def _say_goodbye(self) -> None:
        """The daemon stops and this request has to go: it gets its error, as a record where a stream is under way."""
        if self.stage is Stage.HANDLER:
            await self.error_response(Draining())
        else:
            await self.break_off(Draining())

    async def break_off(self, error: BaseException) -> None:
        """Something was sent already: the error is the last record of a stream, and the one honest end is a broken
        one."""
        told = self.failed
        self.fail()
        words = self.last_words(error)  # which notes in the log what nobody foresaw
        if self.stage is Stage.RESPONSE and not told and words:
            await self.response_func(words, False)

    def fail(self) -> None:
        """The answer under way cannot be finished: the connection will close without the end mark."""
        self.failed = True
        self.keep_alive = False
        if self.request.version == "1.0" and self.stage is Stage.RESPONSE:
            # Such an answer ends with the connection; only a reset tells a broken one from a whole one.
            held = self.protocol.transport and self.protocol.transport.get_extra_info("socket")
            if held is not None:
                held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    # --- the head -----------------------------------------------------------------------------------------------------

    async def http1_request_header(self) -> None:
        try:
            async with asyncio.timeout(self.limits.head_seconds):
                raw = await self._receive_head()
        except TimeoutError:
            self._refusal = "slow head"
            raise RequestTimeout("the request's head took too long to arrive") from None
        try:
            head = heads.parse(raw)
            request = self._request(head.method, head.target, head.version, Header(head.headers), raw)
        except BadURL:
            raise Refused(400, "the request's target must be a path such as /v1/models") from None
        self.url = head.target
        self.request, request.stream = request, self
        self.head_only = head.method == "HEAD"
        self.keep_alive = head.keep_alive
        given = request.headers.get("x-request-id", "")
        request._id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.protocol.state["requests_count"] += 1
        self.request_bytes = self.request_bytes_left = 0
        if head.length:
            self.expecting_continue = head.expects_continue
            self.request_body = "chunked" if head.length < 0 else True
            self.request_bytes = self.request_bytes_left = max(0, head.length)

    async def _receive_head(self) -> bytes:
        buffer = self.recv_buffer
        while True:
            while buffer.startswith(b"\r\n"):  # an empty line before a request is allowed
                del buffer[:2]
            if buffer and not 0x41 <= buffer[0] <= 0x5A:  # "A" to "Z"; TLS begins otherwise
                raise Refused(400, "this is not HTTP; TLS is not spoken on this port")
            end = buffer.find(b"\r\n\r\n")
            if end > heads.MAX_HEAD or (end < 0 and len(buffer) > heads.MAX_HEAD + 3):
                raise Refused(431, f"the request's head is larger than {heads.MAX_HEAD} bytes")
            if _BARE_LINE_FEED.search(buffer, 0, end if end >= 0 else len(buffer)):
                raise Refused(400, "the lines of a request's head end with CR LF")
            if end >= 0:
                raw = bytes(buffer[:end])
                del buffer[: end + 4]
                return raw
            await self._receive_more()

    def _request(self, method: str, target: str, version: str, headers: Header, raw: bytes) -> Any:
        return self.protocol.request_class(
            url_bytes=target.encode("ascii"),
            headers=headers,
            version=version,
            method=method,
            transport=self.protocol.transport,
            app=self.protocol.app,
            head=raw,
        )

    def create_empty_request(self, target: str = "/") -> None:
        """A stand-in for errors that come before there is a request."""
        try:
            self.request = self._request("NONE", target, "1.1", Header({}), b"")
        except SanicException:
            self.request = self._request("NONE", "/", "1.1", Header({}), b"")
        self.request._id = secrets.token_hex(8)
        self.request.stream = self

    # --- the end ------------------------------------------------------------------------------------------------------

    async def error_response(self, error: Exception) -> None:
        if self.stage is not Stage.HANDLER:
            self.keep_alive = False
        if self.stage is Stage.REQUEST:
            self.stage = Stage.HANDLER
            self._refusal = self._refusal or str(error)
        if self.stage is Stage.HANDLER:
            if self.request is None:
                self.create_empty_request(getattr(error, "target", "/"))
            try:
                await self.protocol.app.handle_exception(self.request, error, False)
            except asyncio.CancelledError:
                self.keep_alive = False
            except Exception as second:
                self.keep_alive = False
                log.error("fail error_answer reason=%s", type(second).__name__, exc_info=second)

    async def _leave_clean(self) -> None:
        """Swallow what is left of the request, so that the next starts right or the client reads its answer."""
        if self.gone or self.failed:
            return
        if self.request_body and self.keep_alive:
            try:
                self.request_max_size = MIB
                async with asyncio.timeout(self.limits.linger_seconds):
                    async for _ in self:
                        pass
            except (TimeoutError, SanicException):
                self.keep_alive = False
        if (self.request_body or self._refusal) and not self.keep_alive:
            # Closing with bytes unread resets the connection, and the reset overtakes the answer.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.limits.linger_seconds):
                    self.protocol.transport.write_eof()
                    while not self.gone:
                        self.recv_buffer.clear()
                        await self._receive_more()

    def _release(self) -> None:
        if self.request is not None:
            self.request.stream = None
        if self.response is not None:
            self.response.stream = None

    def _log_access(self) -> None:
        lost = self.protocol.conn_info.lost and self.stage is not Stage.IDLE
        if self.request is None and (lost or self._refusal is None):
            return  # half a head, and then nobody
        fields: dict[str, object] = {
            "method": self.request.method if self.request else "NONE",
            "path": self.request.path if self.request else "/",
            "status": 499 if lost else getattr(self.response, "status", 0),
            "seconds": round(monotonic() - self._started, 4),
            "id": str(self.request.id) if self.request else "",
        }
        if self._refusal:
            fields["reason"] = self._refusal
        if self.failed or (self.gone and not lost and self.stage is Stage.RESPONSE):
            fields["end"] = "broken"
        log.info("answer request", extra={"fields": fields})
