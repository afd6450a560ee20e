"""One client's connection: bytes in and out, one exchange after another, and what happens when the client disconnects.

**Half-closed connections.** A client that shuts down its sending side (a FIN) may have disconnected, or may have sent
all it has and wait for its answer, as `nc -N` and some HTTP/1.0 tools do; TCP does not distinguish the two. A FIN more
than HALF_CLOSE_SECONDS after the client's last byte counts as a disconnect and cancels the request. After an earlier
one the request continues, and from time to time one byte is sent early, one with which the response begins or goes on
in any case (`ResponseWriter.probe`). The machine of a client that is gone answers with a reset; the next write then
fails and cancels the request. Where no such byte is left, and in streams to HTTP/1.0, the response's own writes find
out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, cast

from sanic import Sanic
from sanic.exceptions import RequestCancelled
from sanic.http import Stage
from sanic.models.server_types import ConnInfo

from .exchange import Exchange
from .limits import ConnectionLimits
from .receive_buffer import EndOfInput, ReceiveBuffer
from .request_id import new_id

log = logging.getLogger("mlx_serve.daemon.http")

HALF_CLOSE_SECONDS = 1.0
_FIRST_PROBE_SECONDS = 0.1
_LAST_PROBE_SECONDS = 12.8
_CLOSE_SECONDS = 5.0
_WRITE_BUFFER = 65_536

_BUSY_BODY = b'{"error":{"message":"too many connections are open; try again in a moment"}}'
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\nx-request-id: %b\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
)


class Connection(asyncio.Protocol):
    """`connections` holds all that are open; `lost` is called when this one is gone from it. `behind`: the client does
    not read what is written."""

    transport: asyncio.Transport
    received: ReceiveBuffer
    conn_info: ConnInfo  # which Sanic's requests hand to handlers

    def __init__(self, app: Sanic[Any, Any], connections: set[Connection], lost: Callable[[], None]) -> None:
        self.app = app
        self._limits: ConnectionLimits = app.ctx.limits
        self._connections = connections
        self._lost = lost
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None  # None also when the connection was refused
        self._writable = asyncio.Event()  # only awaited; checking `behind` for every chunk is cheaper
        self.behind = False
        self._next_probe: asyncio.TimerHandle | None = None

    # --- the transport's calls ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)
        if len(self._connections) >= self._limits.connections and not self._close_an_idle_one():
            transport.write(_BUSY % (new_id().encode(), len(_BUSY_BODY), _BUSY_BODY))
            transport.close()
            return
        transport.set_write_buffer_limits(low=_WRITE_BUFFER // 4, high=_WRITE_BUFFER)
        self.received = ReceiveBuffer(transport)
        self.conn_info = ConnInfo(transport)  # type: ignore[arg-type]
        self._connections.add(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def connection_lost(self, error: Exception | None) -> None:
        if self._task is None:
            return
        self.conn_info.lost = True
        self._connections.discard(self)
        if self._next_probe is not None:
            self._next_probe.cancel()
        self.resume_writing()
        self._task.cancel()
        self._lost()

    def data_received(self, data: bytes) -> None:
        if self._task is None:
            return
        self.received.feed(data)
        exchange = self._exchange
        if (
            self.received.full
            and exchange is not None
            and exchange.stage in (Stage.HANDLER, Stage.RESPONSE)
            and not exchange.request_body
        ):
            # So many bytes beyond its own request: if reading paused here, a disconnect would not be noticed.
            self.abort()

    def eof_received(self) -> bool:
        """Whether the connection stays open for the answer."""
        if self._task is None or self.silent_seconds > HALF_CLOSE_SECONDS:
            return False
        self.received.end()
        self._probe_in(_FIRST_PROBE_SECONDS)
        return True

    def pause_writing(self) -> None:
        self.behind = True
        self._writable.clear()

    def resume_writing(self) -> None:
        self.behind = False
        self._writable.set()

    # --- for the server -----------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """No request is under way; one whose head is not complete does not count."""
        return self._exchange is None or self._exchange.stage in (Stage.IDLE, Stage.REQUEST)

    @property
    def silent_seconds(self) -> float:
        """Since the last bytes were received, or the connection was made."""
        return monotonic() - self.received.last

    def cancel(self) -> None:
        """End the running request; it gets an error."""
        if self._task is not None:
            self._task.cancel()

    def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Close once the client has read what is written, at the latest after `seconds`."""
        if self.transport.is_closing():
            return
        self.transport.close()
        if self.transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(seconds, self.abort)

    def abort(self) -> None:
        self.transport.abort()

    def _close_an_idle_one(self) -> bool:
        idle = [each for each in self._connections if each._exchange is None]
        if not idle:
            return False
        min(idle, key=lambda each: each.received.last).close()
        return True

    # --- for the exchange ---------------------------------------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Write, and wait while the client is behind. Raises RequestCancelled when it is gone or does not read."""
        if self.behind:
            try:
                async with asyncio.timeout(self._limits.write_seconds):
                    await self._writable.wait()
            except TimeoutError:
                self.abort()
        if self.transport.is_closing():
            raise RequestCancelled
        self.transport.write(data)

    # --- one exchange after another -----------------------------------------------------------------------------------

    async def _serve(self) -> None:
        try:
            while await self._request_begins():
                self._exchange = Exchange(self)
                follows = await self._exchange.run()
                self._exchange = None
                if not follows:
                    return
        except asyncio.CancelledError:
            return
        except Exception as error:
            log.error("fail connection reason=%s", type(error).__name__, exc_info=error)
        finally:
            self._exchange = None
            self.close()

    async def _request_begins(self) -> bool:
        """Wait for a request's first bytes. False when there are none."""
        if self.received.data:
            return True
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                await self.received.more()
        except (TimeoutError, EndOfInput):
            return False
        return True

    # --- half-closed --------------------------------------------------------------------------------------------------

    def _probe_in(self, seconds: float) -> None:
        self._next_probe = asyncio.get_running_loop().call_later(seconds, self._probe, seconds)

    def _probe(self, waited: float) -> None:
        if self.transport.is_closing():
            return
        if self._exchange is not None and not self.behind and (byte := self._exchange.probe()):
            self.transport.write(byte)
        self._probe_in(min(2 * waited, _LAST_PROBE_SECONDS))
