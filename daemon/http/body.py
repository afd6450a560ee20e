"""A request's body as it arrives: whole or part by part, within its limits.

Chunks are not read by h11: it accepts trailers and long extensions, so that these checks would be needed all the same,
and it reads a body only on a connection that it manages as a whole.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from sanic.exceptions import BadRequest, PayloadTooLarge, RequestTimeout, SanicException

from .head import Head, RefusedRequest
from .limits import MIB, ConnectionLimits, InFlight
from .receive_buffer import EndOfInput, ReceiveBuffer

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_MAX_LINE = 256
_MAX_DISCARD = MIB


class Body:
    """`complete`: all of it has been taken. `lost`: where it ends is not known, so no request can follow it."""

    def __init__(
        self, head: Head, received: ReceiveBuffer, write: Callable[[bytes], Awaitable[None]], limits: ConnectionLimits
    ) -> None:
        self.complete = not head.length
        self.lost = False
        self._chunked = head.length == -1
        self._awaits_continue = head.expects_continue and not self.complete
        self._left = max(0, head.length or 0)  # bytes of the body, or of the chunk under way
        self._announced = self._left  # bytes of the body, or of all chunks so far
        self._received = received
        self._write = write
        self._limits = limits

    @property
    def too_much_to_discard(self) -> bool:
        """Whether the unread rest is too large to read and drop; one that awaits its 100 will never be sent."""
        return not self.complete and (self._awaits_continue or self._left > _MAX_DISCARD)

    @property
    def _is_here(self) -> bool:
        """Whether all of it has been received, as is usual for small ones."""
        return not self._chunked and 0 < self._left <= len(self._received.data)

    async def whole(self, limit: int, in_flight: InFlight) -> bytes:
        """All of it, `limit` bytes at most. Raises PayloadTooLarge, RequestTimeout, BadRequest or RefusedRequest."""
        self._check(limit)
        if self._is_here and in_flight.held + self._left <= in_flight.limit:
            return await self._take()
        most = limit if self._chunked else self._announced
        parts: list[bytes] = []
        held = 0
        try:
            async with asyncio.timeout(self._limits.body_seconds + most / MIB * self._limits.body_seconds_per_mib):
                async with aclosing(self.parts(limit)) as arriving:
                    async for part in arriving:
                        parts.append(part)
                        held += len(part)
                        in_flight.held += len(part)
                        if in_flight.held > in_flight.limit:
                            raise RefusedRequest(503, "too many large request bodies at once; try again in a moment")
        except TimeoutError:
            self.lost = True
            raise RequestTimeout("the request's body took too long to arrive") from None
        finally:
            in_flight.held -= held
        return b"".join(parts)

    async def parts(self, limit: int | None = None) -> AsyncGenerator[bytes]:
        """What has not been read yet, as it arrives. Raises PayloadTooLarge, RequestTimeout or BadRequest."""
        if self._awaits_continue:
            self._awaits_continue = False
            if not self._received.data:
                await self._write(_CONTINUE)
        while not self.complete:
            if self._chunked and not self._left:
                await self._next_chunk()
            self._check(limit)
            if self._left:
                yield await self._take()

    async def discard(self) -> None:
        """Read over the rest, so that the next request begins behind it; `lost` when that takes too much."""
        try:
            async with asyncio.timeout(self._limits.linger_seconds):
                async for _ in self.parts(_MAX_DISCARD):
                    pass
        except (TimeoutError, SanicException):
            self.lost = True

    async def _take(self) -> bytes:
        while not self._received.data:
            await self._more()
        data = bytes(self._received.data[: self._left])
        del self._received.data[: len(data)]
        self._left -= len(data)
        if not self._left and not self._chunked:
            self._finish()
        return data

    async def _next_chunk(self) -> None:
        """On to the bytes of the next chunk, or to the end. Raises BadRequest."""
        if self._announced and await self._line() != b"":
            raise self._bad_chunk()
        match = _CHUNK.fullmatch(await self._line())
        if match is None:
            raise self._bad_chunk()
        self._left = int(match.group(1), 16)
        self._announced += self._left
        if not self._left:
            if await self._line() != b"":
                # Trailers are not supported, and one left in the buffer would be read as the next request.
                raise self._bad_chunk()
            self._finish()

    async def _line(self) -> bytes:
        data = self._received.data
        while (end := data.find(b"\r\n")) < 0:
            if len(data) > _MAX_LINE:
                raise self._bad_chunk()
            await self._more()
        if end > _MAX_LINE:
            raise self._bad_chunk()
        line = bytes(data[:end])
        del data[: end + 2]
        return line

    async def _more(self) -> None:
        """Wait for more bytes. Raises RequestTimeout, and BadRequest when none can come."""
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                await self._received.more()
        except TimeoutError:
            self.lost = True
            raise RequestTimeout("the request's body stopped arriving") from None
        except EndOfInput:
            self.lost = True
            raise BadRequest("the request ended before its body was complete") from None

    def _finish(self) -> None:
        self.complete = True
        self._received.resume()

    def _check(self, limit: int | None) -> None:
        if limit is not None and self._announced > limit:
            self.lost = True
            raise PayloadTooLarge(f"the body is larger than {limit // MIB} MiB; server.max_body_mb is the limit")

    def _bad_chunk(self) -> BadRequest:
        self.lost = True
        return BadRequest("the chunked body is malformed")
