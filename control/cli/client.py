"""HTTP/1.1 to the daemon over its Unix socket: one request per connection, streams read line by line.

Not `http.client`, whose import takes 25 ms. Standard library only; knows no command and no model.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..socket import dial, peer_pid

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from typing import Any, BinaryIO

_MAX_LINE = 64 << 20


class NoDaemon(Exception):
    """No daemon listens on the socket."""


class ConnectionBroken(Exception):
    """The connection failed or ended before the response did."""


class ApiError(Exception):
    """An error response: a sentence, and a hint where the daemon gives one."""

    def __init__(self, status: int, message: str, hint: str | None = None, pullable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint
        self.pullable = pullable


class Response:
    """A response whose head is read and whose body is not. Closing it closes the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file: BinaryIO = connection.makefile("rb")
        self.headers: dict[str, str] = {}
        self.status = 0

    def read_head(self) -> None:
        parts = self._line().split(b" ", 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
            raise ConnectionBroken("the process on the socket does not speak HTTP")
        self.status = int(parts[1])
        while line := self._line().strip():
            name, _, value = line.partition(b":")
            self.headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")

    def _line(self) -> bytes:
        line = self._file.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise ConnectionBroken("the connection ended before the response did")
        return line

    def _exactly(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise ConnectionBroken("the connection ended before the response did")
        return data

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces as they arrive. Raises ConnectionBroken when it ends too early."""
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self._line().split(b";")[0], 16):
                yield self._exactly(size)
                self._exactly(2)
        elif "content-length" in self.headers:
            yield self._exactly(int(self.headers["content-length"]))
        elif self.status not in (204, 304):
            while data := self._file.read(65536):
                yield data

    def read(self) -> bytes:
        return b"".join(self.chunks())

    def json(self) -> Any:
        return json.loads(self.read())

    def lines(self) -> Iterator[dict[str, Any]]:
        """A stream's JSON documents. An error document is raised as ApiError."""
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    yield _document(line)
        if rest.strip():
            yield _document(rest)

    def close(self) -> None:
        self._file.close()
        self._connection.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Client:
    """Requests to one socket. `timeout` in seconds limits each wait for bytes; None: no limit, for model loads."""

    def __init__(self, path: Path, timeout: float | None = None) -> None:
        self.path = path
        self.timeout = timeout

    def open(self, method: str, target: str, body: object = None, request_id: str | None = None) -> Response:
        """Send a request, read the response's head. `request_id`: what listings call it. Raises NoDaemon,
        ConnectionBroken, ApiError for a status >= 400."""
        connection = self._dial()
        response = Response(connection)
        try:
            connection.sendall(_request(method, target, body, request_id))
            response.read_head()
            if response.status >= 400:
                raise _api_error(response.status, response.read())
        except (OSError, ValueError) as error:
            response.close()
            raise ConnectionBroken(str(error)) from error
        except BaseException:
            response.close()
            raise
        return response

    def _dial(self) -> socket.socket:
        try:
            return dial(self.path, self.timeout)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
            raise NoDaemon(str(self.path)) from error
        except OSError as error:
            raise ConnectionBroken(f"cannot reach the daemon at {self.path}: {error.strerror or error}") from error

    def get(self, target: str) -> Any:
        return self._whole("GET", target)

    def post(self, target: str, body: object) -> Any:
        return self._whole("POST", target, body)

    def delete(self, target: str) -> Any:
        return self._whole("DELETE", target)

    def _whole(self, method: str, target: str, body: object = None) -> Any:
        with self.open(method, target, body) as response:
            try:
                return response.json()
            except (OSError, ValueError) as error:
                raise ConnectionBroken(str(error)) from error

    def stream(
        self, method: str, target: str, body: object = None, request_id: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """The documents of a streamed response; closing the iterator closes the connection."""
        with self.open(method, target, body, request_id) as response:
            try:
                yield from response.lines()
            except (OSError, ValueError) as error:
                raise ConnectionBroken(str(error)) from error

    def pid(self) -> int | None:
        """The daemon's pid from the socket, without a request."""
        with self._dial() as connection:
            return peer_pid(connection)


def _request(method: str, target: str, body: object, request_id: str | None) -> bytes:
    payload = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {target} HTTP/1.1\r\nHost: mlx-serve\r\nConnection: close\r\n"
    if request_id is not None:
        head += f"X-Request-ID: {request_id}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
    return head.encode("ascii") + b"\r\n" + payload


def _document(line: bytes) -> dict[str, Any]:
    document = json.loads(line)
    if not isinstance(document, dict):
        raise ValueError("a line of the stream is not a JSON object")
    if document.get("error"):
        raise _error_of(500, document)
    return document


def _api_error(status: int, body: bytes) -> ApiError:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if isinstance(document, dict) and document.get("error"):
        return _error_of(status, document)
    return ApiError(status, f"the daemon answered with status {status}")


def _error_of(status: int, document: dict[str, Any]) -> ApiError:
    """Reads both forms: the control API's object and the plain text of `/api`."""
    error = document["error"]
    if not isinstance(error, dict):
        return ApiError(status, str(error))
    return ApiError(status, str(error.get("message")), error.get("hint"), bool(error.get("pullable")))
