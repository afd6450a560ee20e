"""One client's connection: Sanic's protocol with exact deadlines instead of polling timers, and a bound."""

# mypy: disable-error-code="no-untyped-call"
# (many of Sanic's methods carry no types)

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from sanic.exceptions import RequestCancelled
from sanic.http import Stage
from sanic.server import HttpProtocol

from .exchange import Exchange

_BUSY_BODY = b'{"error":{"message":"too many connections are open; try again in a moment"}}'
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_BUSY_BODY), _BUSY_BODY)
)


class Connection(HttpProtocol):
    HTTP_CLASS = Exchange
    __slots__ = ()

    def check_timeouts(self) -> None:
        """Sanic would poll here twice a second for ever; Exchange has its own deadlines."""

    async def send(self, data: bytes) -> None:
        """Write, and wait while the client is behind. Raises RequestCancelled when it is gone or takes nothing."""
        if not self._can_write.is_set():
            try:
                async with asyncio.timeout(self.app.ctx.limits.write_seconds):
                    await self._can_write.wait()
            except TimeoutError:
                self.abort()
        if self.transport is None or self.transport.is_closing():
            raise RequestCancelled
        self.transport.write(data)

    def connection_made(self, transport: Any) -> None:
        if len(self.connections) >= self.app.ctx.limits.connections and not self._close_an_idle_one():
            transport.write(_BUSY)
            transport.close()
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.conn_info is None:  # it was turned away at the door
            return
        super().connection_lost(error)
        self.app.ctx.on_connection_lost()

    def data_received(self, data: bytes) -> None:
        if self.conn_info is None:
            return
        super().data_received(data)
        http = self.http
        if http and http.request_body is None and len(self.recv_buffer) >= self.app.config.REQUEST_BUFFER_SIZE:
            # So much beyond its own request: were reading to stop here, a hang-up would go unseen.
            self.abort()

    @property
    def idle(self) -> bool:
        """No request is under way; one whose head is not complete does not count."""
        return self.http is None or self.http.stage in (Stage.IDLE, Stage.REQUEST)

    @property
    def silent_seconds(self) -> float:
        """Since the connection was made, or its last bytes came."""
        return float(monotonic() - self._time)

    def cancel(self) -> None:
        """End the request under way; it gets its error."""
        if self._task is not None:
            self._task.cancel()

    def _close_an_idle_one(self) -> bool:
        idle = [each for each in self.connections if each.http is not None and each.http.stage is Stage.IDLE]
        if not idle:
            return False
        min(idle, key=lambda each: each._time).close()
        return True
