"""GET requests over kept-alive connections: http.client parses the head, the body is read in large pieces."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import cast
from urllib.parse import urlsplit

from ..hub_endpoint import origin
from ..proxies import credentials
from .dialer import Dialer, Origin
from .timeouts import ConnectionLost, Watchdog
from .transport import Transport

_SMALL_BODY = 64 << 10


@dataclass
class HttpResponse:
    """A response whose body has not been read. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    _raw: http.client.HTTPResponse
    _connection: _Connection

    @property
    def length(self) -> int | None:
        """The body's length in bytes as the head states it, or None."""
        return None if self._raw.chunked else self._raw.length

    def read_into(self, buffer: memoryview, *, wait: bool = True) -> int | None:
        """Reads what has arrived of the body; 0 at its end. Without `wait`, None when nothing has arrived yet."""
        self._connection.nonblocking(not wait and not self._raw.chunked)
        try:
            if self._raw.chunked:
                data = self._raw.read1(len(buffer))
                buffer[: len(data)] = data
                return len(data)
            return self._raw.fp.readinto1(buffer)
        except (http.client.HTTPException, ValueError) as error:
            raise ConnectionLost("the connection was lost") from error
        finally:
            self._connection.nonblocking(False)

    def finish(self, whole: bool) -> None:
        """End the response; the connection is kept when the `whole` body was read."""
        ended = whole and not self._raw.will_close
        self._raw.close()
        if not ended:
            self._connection.disconnect()

    def skip(self) -> None:
        """Read and drop a small body, so that the connection can be kept."""
        length = self.length
        if length is None or length > _SMALL_BODY:
            return self.finish(False)
        left = length
        buffer = memoryview(bytearray(max(1, length)))
        while left and (count := self.read_into(buffer[:left])):
            left -= count
        return self.finish(left == 0)


@dataclass
class HttpClient:
    """The connections of one thread, one per host. Not thread-safe."""

    dialer: Dialer
    _connections: dict[Origin, _Connection] = field(default_factory=dict)

    def get(self, url: str, headers: Mapping[str, str], watchdog: Watchdog) -> HttpResponse:
        """Raises ConnectionLost, FetchStopped, HubUnreachable. Redirects are left to the caller."""
        where = origin(url)
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = self._connections.setdefault(where, _Connection())
        sent = {"Host": parts.netloc, "User-Agent": _user_agent(), "Accept-Encoding": "identity", **headers}
        if not connection.usable():
            transport, absolute = self.dialer.dial(where, watchdog)
            connection.attach(transport, parts.hostname or "", absolute)
        if connection.absolute:
            target = f"{parts.scheme}://{parts.netloc}{target}"
            sent |= credentials(*where)
        try:
            raw = connection.request(target, sent, watchdog)
        except (http.client.HTTPException, OSError, ValueError) as error:
            connection.disconnect()
            raise ConnectionLost("the connection closed before the response") from error
        except BaseException:
            connection.disconnect()
            raise
        found = {name.lower(): value for name, value in raw.getheaders()}
        return HttpResponse(raw.status, found, raw, connection)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.disconnect()


@dataclass
class _Connection:
    """One connection, kept alive between requests."""

    absolute: bool = False
    _transport: Transport | None = None
    _http: http.client.HTTPConnection | None = None

    def usable(self) -> bool:
        if self._transport is not None and not self._transport.alive():
            self.disconnect()
        return self._transport is not None

    def attach(self, transport: Transport, host: str, absolute: bool) -> None:
        self._transport = transport
        self._http = http.client.HTTPConnection(host)
        self._http.auto_open = 0
        self._http.sock = cast(socket.socket, transport)
        self.absolute = absolute

    def request(self, target: str, headers: Mapping[str, str], watchdog: Watchdog) -> http.client.HTTPResponse:
        if self._transport is None or self._http is None:
            raise ConnectionLost("the connection was lost")
        self._transport.watchdog = watchdog
        self._http.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            self._http.putheader(name, value)
        self._http.endheaders()
        return self._http.getresponse()

    def nonblocking(self, value: bool) -> None:
        if self._transport is not None:
            self._transport.nonblocking = value

    def disconnect(self) -> None:
        if self._transport is not None:
            self._transport.disconnect()
        self._transport = self._http = None


def _user_agent() -> str:
    try:
        return f"mlx-serve/{metadata.version('mlx-serve')}"
    except metadata.PackageNotFoundError:
        return "mlx-serve"
