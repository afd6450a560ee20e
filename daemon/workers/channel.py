"""The parent's end of one child's socket: bytes in, typed frames out, on the event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

import msgspec

from .. import protocol


class Channel(asyncio.Protocol):
    """`on_frame` is called for every frame, and `on_pause` after the last of those that came together; `on_close` once,
    with a sentence when the child broke the protocol."""

    def __init__(
        self,
        on_frame: Callable[[protocol.FromChild], None],
        on_close: Callable[[str | None], None],
        on_pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_frame = on_frame
        self._on_close = on_close
        self._on_pause = on_pause
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._problem: str | None = None

    @classmethod
    async def open(
        cls,
        sock: socket.socket,
        on_frame: Callable[[protocol.FromChild], None],
        on_close: Callable[[str | None], None],
        on_pause: Callable[[], None] = lambda: None,
    ) -> Channel:
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(lambda: cls(on_frame, on_close, on_pause), sock=sock)
        return channel

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= 4:
                end = start + 4 + protocol.frame_length(bytes(buffer[start : start + 4]))
                if len(buffer) < end:
                    break
                self._on_frame(protocol.decode_from_child(bytes(buffer[start + 4 : end])))
                start = end
        except (protocol.FrameTooLarge, msgspec.DecodeError) as error:
            self._problem = f"it sent an invalid frame ({error})"
            self.abort()
        finally:
            del buffer[:start]
        self._on_pause()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_close(self._problem)

    def send(self, message: protocol.ToChild) -> None:
        """Queue one frame. Raises protocol.FrameTooLarge. Does nothing when the child is gone."""
        frame = protocol.encode(message)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
