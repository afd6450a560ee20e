"""The answering half of an exchange: the head of an answer, its body in chunks or not, and a stream's last words."""

# mypy: disable-error-code="no-untyped-call"
# (many of Sanic's methods carry no types)

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from sanic.exceptions import ServerError
from sanic.headers import format_http1_response
from sanic.helpers import has_message_body
from sanic.http import Stage

_MAX_UNREAD = 1 << 20


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


class Answers:
    """Mixed into Sanic's Http, whose attributes it uses."""

    # Attributes of Sanic's Http.
    protocol: Any
    request: Any
    response: Any
    response_func: Any
    response_size: Any
    response_bytes_left: Any
    request_body: Any
    request_bytes_left: Any
    expecting_continue: bool
    keep_alive: bool
    head_only: Any
    stage: Any
    _send: Any

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:
        """Send the head, with as much of the body as there is."""
        response = self.response
        if not data and getattr(response, "body", None):
            data, end_stream = response.body, True
        status, headers = response.status, response.headers
        if not isinstance(status, int) or status < 200:
            raise RuntimeError(f"{status!r} is no status of an answer")
        size = self.response_size = len(data)
        self.response_func = None
        if not has_message_body(status):
            data, end_stream = b"", True
            headers.pop("content-length", None)
            headers.pop("transfer-encoding", None)
        elif end_stream:
            if not (self.head_only and "content-length" in headers):
                headers["content-length"] = size
        elif "content-length" in headers:
            self.response_bytes_left = int(headers["content-length"]) - size
            self.response_func = self.http1_response_normal
        elif self.request.version == "1.0":
            # A client of 1.0 knows no chunks: its answer ends with the connection.
            self.keep_alive = False
            self.response_func = self._until_close
        else:
            headers["transfer-encoding"] = "chunked"
            data = b"%x\r\n%b\r\n" % (size, data) if size else b""
            self.response_func = self.http1_response_chunked
        if self.head_only:
            data = b""
            self.response_func = None if end_stream else self.ignore_body
        self._set_headers(headers)
        await self._send(format_http1_response(status, response.processed_headers) + data)
        self.stage = Stage.IDLE if end_stream else Stage.RESPONSE

    def _set_headers(self, headers: Any) -> None:
        if self.expecting_continue or (self.request_body and self.request_bytes_left > _MAX_UNREAD):
            # The body will not be read, so there is no telling where a next request would begin.
            self.expecting_continue = False
            self.keep_alive = False
        if self.protocol.app.ctx.serving.draining:
            self.keep_alive = False
        headers.pop("server", None)
        headers.setdefault("x-content-type-options", "nosniff")
        headers.setdefault("cache-control", "no-store")
        headers["x-request-id"] = self.request.id
        headers["date"] = _date(int(time.time()))
        headers["connection"] = "keep-alive" if self.keep_alive else "close"

    async def http1_response_chunked(self, data: bytes, end_stream: bool) -> None:
        frame = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        if end_stream:
            frame += b"0\r\n\r\n"
        if frame:
            await self._send(frame)
        if end_stream:
            self._ended()

    async def http1_response_normal(self, data: bytes, end_stream: bool) -> None:
        left = self.response_bytes_left - len(data)
        if left < 0 or (end_stream and left):
            raise ServerError("the answer's length is not the one it announced")
        await self._send(data)
        self.response_bytes_left = left
        if not left:
            self._ended()

    async def _until_close(self, data: bytes, end_stream: bool) -> None:
        if data:
            await self._send(data)
        if end_stream:
            self._ended()

    async def ignore_body(self, data: bytes, end_stream: bool) -> None:
        if end_stream:
            self._ended()

    def _ended(self) -> None:
        self.response_func = None
        self.stage = Stage.IDLE

    def last_words(self, error: BaseException) -> bytes:
        """The error as the last record of the stream under way; empty when the answer is no stream of records."""
        kind = str(self.response.headers.get("content-type") or self.response.content_type or "")
        body: bytes = self.protocol.app.error_handler.response(self.request, error).body or b""
        if kind.startswith("text/event-stream"):
            event = b"event: error\n" if self.request.path.startswith("/v1/messages") else b""
            return event + b"data: " + body.strip() + b"\n\n"
        return body.strip() + b"\n" if kind.startswith("application/x-ndjson") else b""
