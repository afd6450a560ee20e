"""The arriving half of an exchange: a request's body, whole or part by part, within its limits."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

from sanic.exceptions import BadRequest, PayloadTooLarge, RequestTimeout

from .head import Refused
from .limits import MIB, InFlight, Limits

_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_MAX_LINE = 256


class Bodies:
    """Mixed into Sanic's Http, whose attributes it uses."""

    limits: Limits

    # Attributes of Sanic's Http.
    protocol: Any
    recv_buffer: bytearray
    request_body: Any
    request_bytes: Any
    request_bytes_left: Any
    request_max_size: Any
    expecting_continue: bool
    keep_alive: bool
    _send: Any
    _receive_more: Any

    async def whole_body(self) -> bytes:
        """Raises PayloadTooLarge, RequestTimeout or Refused."""
        limit = min(self.request_max_size, self.protocol.request_max_size)
        if self.request_bytes > limit:
            raise self._too_large(limit)
        self.request_max_size = limit
        most = limit if self.request_body == "chunked" else self.request_bytes
        seconds = self.limits.body_seconds + most / MIB * self.limits.body_seconds_per_mib
        in_flight: InFlight = self.protocol.app.ctx.in_flight
        parts: list[bytes] = []
        held = 0
        try:
            async with asyncio.timeout(seconds):
                async for part in self:  # type: ignore[attr-defined]
                    parts.append(part)
                    held += len(part)
                    in_flight.held += len(part)
                    if in_flight.held > in_flight.limit:
                        raise Refused(503, "too many large requests arrive at once; try again in a moment")
        except TimeoutError:
            raise RequestTimeout("the request's body took too long to arrive") from None
        finally:
            in_flight.held -= held
        return b"".join(parts)

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it arrives, of any size, for what goes to disk. Raises RequestTimeout."""
        self.request_max_size = sys.maxsize
        async for part in self:  # type: ignore[attr-defined]
            yield part

    async def read(self) -> bytes | None:
        """The next part of the body, or None at its end."""
        if not self.request_body:
            return None
        if self.expecting_continue:
            self.expecting_continue = False
            await self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.request_body == "chunked" and not self.request_bytes_left:
            await self._next_chunk()
        if self.request_bytes > self.request_max_size:
            raise self._too_large(self.request_max_size)
        if not self.request_bytes_left:
            self._body_is_in()
            return None
        while not self.recv_buffer:
            if not await self._bytes_within(self.limits.body_seconds):
                raise RequestTimeout("the request's body stopped arriving")
        data = bytes(self.recv_buffer[: self.request_bytes_left])
        del self.recv_buffer[: len(data)]
        self.request_bytes_left -= len(data)
        if not self.request_bytes_left and self.request_body != "chunked":
            self._body_is_in()
        return data

    async def _next_chunk(self) -> None:
        """Sets `request_bytes_left` to the size of the next chunk; 0 at the end. Raises BadRequest."""
        if self.request_bytes and await self._line() != b"":
            raise self._bad_chunk()
        match = _CHUNK.fullmatch(await self._line())
        if match is None:
            raise self._bad_chunk()
        self.request_bytes_left = int(match.group(1), 16)
        self.request_bytes += self.request_bytes_left
        if not self.request_bytes_left and await self._line() != b"":
            # A trailer: nobody needs one, and left in the buffer it would be the next request.
            raise self._bad_chunk()

    async def _line(self) -> bytes:
        buffer = self.recv_buffer
        while (end := buffer.find(b"\r\n")) < 0:
            if len(buffer) > _MAX_LINE:
                raise self._bad_chunk()
            if not await self._bytes_within(self.limits.body_seconds):
                raise RequestTimeout("the request's body stopped arriving")
        if end > _MAX_LINE:
            raise self._bad_chunk()
        line = bytes(buffer[:end])
        del buffer[: end + 2]
        return line

    def _bad_chunk(self) -> BadRequest:
        self.keep_alive = False
        return BadRequest("the body's chunks are not well-formed")

    def _too_large(self, limit: float) -> PayloadTooLarge:
        self.keep_alive = False
        return PayloadTooLarge(f"the body is larger than {int(limit) // MIB} MiB; server.max_body_mb is the limit")

    def _body_is_in(self) -> None:
        self.request_body = None
        # The buffer may have filled and stopped the reading; nobody else starts it again, and a hang-up goes unseen.
        if self.protocol.transport is not None:
            self.protocol.transport.resume_reading()

    async def _bytes_within(self, seconds: float) -> bool:
        """Wait for more bytes. False when none came in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._receive_more()
        except TimeoutError:
            return False
        return True
