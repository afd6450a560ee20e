"""The bytes that were received and not consumed yet."""

from __future__ import annotations

import asyncio
from time import monotonic

FULL = 65_536


class EndOfInput(Exception):
    """The client has shut down its sending side: no more bytes will come."""


class ReceiveBuffer:
    """`data` is consumed from its front; `last` is the `time.monotonic` of the last bytes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.data = bytearray()
        self.ended = False
        self.last = monotonic()
        self._transport = transport
        self._changed = asyncio.Event()

    @property
    def full(self) -> bool:
        return len(self.data) >= FULL

    def feed(self, data: bytes) -> None:
        self.data += data
        self.last = monotonic()
        if self.full:
            self._transport.pause_reading()
        self._changed.set()

    def end(self) -> None:
        self.ended = True
        self._changed.set()

    def resume(self) -> None:
        """Resume reading. While it is paused, a disconnect is not noticed."""
        if not self.ended and not self._transport.is_closing():
            self._transport.resume_reading()

    async def more(self) -> None:
        """Wait until there are more bytes than now. Raises EndOfInput."""
        held = len(self.data)
        if not self.ended:
            self.resume()
            self._changed.clear()
            await self._changed.wait()
        if len(self.data) == held:
            raise EndOfInput
