"""One GET after another over kept connections: the head is parsed by http.client, the body comes in large pieces."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import cast
from urllib.parse import urlsplit

from ..remote import origin
from .dialer import Dialer, Origin, proxy_credentials
from .timeouts import Lost, Watch
from .transport import Line

_SMALL_BODY = 64 << 10


@dataclass
class Reply:
    """An answer whose body is still to come. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    _answer: http.client.HTTPResponse
    _owner: _Kept

    @property
    def length(self) -> int | None:
        """Bytes that the body has by its head; None where the head does not say."""
        return None if self._answer.chunked else self._answer.length

    def read_into(self, buffer: memoryview, *, wait: bool = True) -> int | None:
        """The next bytes of the body, as many as are there; 0 at its end, wherever that is.

        None when there are none yet and the caller has better things to do than to `wait`.
        """
        self._owner.impatient(not wait and not self._answer.chunked)
        try:
            if self._answer.chunked:
                data = self._answer.read1(len(buffer))
                buffer[: len(data)] = data
                return len(data)
            return self._answer.fp.readinto1(buffer)
        except (http.client.HTTPException, ValueError) as error:
            raise Lost("the connection broke off") from error
        finally:
            self._owner.impatient(False)

    def finish(self, whole: bool) -> None:
        """Done with it; the connection is kept when the `whole` body was read."""
        ended = whole and not self._answer.will_close
        self._answer.close()
        if not ended:
            self._owner.drop()

    def skip(self) -> None:
        """Read a small body that nobody wants, for the sake of the connection."""
        length = self.length
        if length is None or length > _SMALL_BODY:
            return self.finish(False)
        left = length
        buffer = memoryview(bytearray(max(1, length)))
        while left and (count := self.read_into(buffer[:left])):
            left -= count
        return self.finish(left == 0)


@dataclass
class Exchange:
    """The connections of one stream, one per host. Not for use by two threads."""

    dialer: Dialer
    _kept: dict[Origin, _Kept] = field(default_factory=dict)

    def get(self, url: str, headers: Mapping[str, str], watch: Watch) -> Reply:
        """Raises Lost, Stopped, HubUnreachable. Redirects are the caller's business."""
        where = origin(url)
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        kept = self._kept.setdefault(where, _Kept())
        sent = {"Host": parts.netloc, "User-Agent": _agent(), "Accept-Encoding": "identity", **headers}
        if not kept.usable():
            line, absolute = self.dialer.dial(where, watch)
            kept.take(line, parts.hostname or "", absolute)
        if kept.absolute:
            target = f"{parts.scheme}://{parts.netloc}{target}"
            sent |= proxy_credentials(*where)
        try:
            answer = kept.ask(target, sent, watch)
        except (http.client.HTTPException, OSError, ValueError) as error:
            kept.drop()
            raise Lost("the connection broke off before the answer") from error
        except BaseException:
            kept.drop()
            raise
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, answer, kept)

    def close(self) -> None:
        for kept in self._kept.values():
            kept.drop()


@dataclass
class _Kept:
    """One connection that outlives its requests."""

    absolute: bool = False
    _line: Line | None = None
    _connection: http.client.HTTPConnection | None = None

    def usable(self) -> bool:
        if self._line is not None and not self._line.alive():
            self.drop()
        return self._line is not None

    def take(self, line: Line, host: str, absolute: bool) -> None:
        self._line = line
        self._connection = http.client.HTTPConnection(host)
        self._connection.auto_open = 0
        self._connection.sock = cast(socket.socket, line)
        self.absolute = absolute

    def ask(self, target: str, headers: Mapping[str, str], watch: Watch) -> http.client.HTTPResponse:
        if self._line is None or self._connection is None:
            raise Lost("the connection broke off")
        self._line.watch = watch
        self._connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            self._connection.putheader(name, value)
        self._connection.endheaders()
        return self._connection.getresponse()

    def impatient(self, value: bool) -> None:
        if self._line is not None:
            self._line.impatient = value

    def drop(self) -> None:
        if self._line is not None:
            self._line.hang_up()
        self._line = self._connection = None


def _agent() -> str:
    try:
        return f"mlx-serve/{metadata.version('mlx-serve')}"
    except metadata.PackageNotFoundError:
        return "mlx-serve"
