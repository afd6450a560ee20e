"""The head of an HTTP/1.1 request: bytes in, a checked Head out, or a RefusedRequest that says what is wrong.

It is strict, because lenient parsing allows request smuggling past a proxy, forged logs and attacks through browsers on
local servers. h11 is not used: it accepts bare line feeds, folded lines, repeated lengths and any Host and target, so
these checks would be needed all the same, and it needs 21 microseconds for a small head where this needs 8. Knows no
sockets, and of Sanic only the type of its errors.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from sanic.exceptions import RequestTimeout, SanicException

from .receive_buffer import EndOfInput, ReceiveBuffer

MAX_HEAD = 16_384
MAX_HEADERS = 100

_METHOD = re.compile(r"[A-Z]{1,20}")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Visible ASCII without what no URI holds; `#` never travels and a backslash is a slash to some readers.
_TARGET = re.compile(r"/[!$-;=?-\[\]_a-z~%]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = re.compile(r"[0-9A-Za-z._~%:\[\]-]{1,300}")
_LENGTH = re.compile(r"[0-9]{1,15}")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class RefusedRequest(SanicException):
    """HTTP that this server does not accept. `str()` is a sentence for the client; it repeats nothing that was sent.

    `target` is the path that was asked for, once that is known, so that the answer can be in its dialect.
    """

    quiet = True

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message, status_code=status)
        self.target = "/"


@dataclass(frozen=True)
class Head:
    """Header names are lower case. `length` is the body's: None when there is none, -1 when it comes in chunks."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    length: int | None
    keep_alive: bool
    expects_continue: bool


async def receive(received: ReceiveBuffer, seconds: float) -> bytes:
    """The next head without its closing empty line. Raises RefusedRequest, RequestTimeout, or EndOfInput when there is
    none."""
    try:
        raw = _take(received.data)
        if raw is not None:
            return raw
        async with asyncio.timeout(seconds):
            while raw is None:
                await received.more()
                raw = _take(received.data)
    except RefusedRequest as refused:
        refused.target = _path(bytes(received.data[:MAX_HEAD]))
        raise
    except TimeoutError:
        raise RequestTimeout("the request's head took too long to arrive") from None
    except EndOfInput:
        if not received.data:
            raise
        cut_short = RefusedRequest(400, "the request ended before its head was complete")
        cut_short.target = _path(bytes(received.data))
        raise cut_short from None
    return raw


def _take(data: bytearray) -> bytes | None:
    """A head from the front of what has come; None when it is not complete. Raises RefusedRequest."""
    while data.startswith(b"\r\n"):  # an empty line before a request is allowed
        del data[:2]
    if data and not 0x41 <= data[0] <= 0x5A:  # "A" to "Z"; TLS begins otherwise
        raise RefusedRequest(400, "this is not HTTP; this port does not use TLS")
    end = data.find(b"\r\n\r\n")
    if end > MAX_HEAD or (end < 0 and len(data) > MAX_HEAD + 3):
        raise RefusedRequest(431, f"the request's head is larger than {MAX_HEAD} bytes")
    if _BARE_LINE_FEED.search(data, 0, end if end >= 0 else len(data)):
        raise RefusedRequest(400, "the lines of a request's head must end with CR LF")
    if end < 0:
        return None
    raw = bytes(data[:end])
    del data[: end + 4]
    return raw


def parse(raw: bytes) -> Head:
    """The head without its closing empty line. Raises RefusedRequest."""
    line, *lines = raw.decode("latin-1").split("\r\n")
    try:
        return _checked(*_request_line(line), lines)
    except RefusedRequest as refused:
        refused.target = _path(raw)
        raise


def _path(raw: bytes) -> str:
    """What stands where the target does in a head that is refused, as far as it is one."""
    words = raw.split(b"\r\n", 1)[0].split(b"\n", 1)[0].decode("latin-1").split(" ", 2)
    match = _TARGET.match(words[1]) if len(words) > 1 else None
    return match[0] if match else "/"


def _checked(method: str, target: str, version: str, lines: list[str]) -> Head:
    if len(lines) > MAX_HEADERS:
        raise RefusedRequest(431, f"the request has more than {MAX_HEADERS} header lines")
    headers = tuple(_header(each) for each in lines)
    host = _values(headers, "host")
    if len(host) != 1:
        raise RefusedRequest(400, "the request must have exactly one Host header")
    if not _HOST.fullmatch(host[0]):
        raise RefusedRequest(400, "the Host header is not a valid host name")
    coding = _values(headers, "content-encoding")
    if any(word.lower() not in ("", "identity") for word in coding):
        raise RefusedRequest(415, "this Content-Encoding is not supported; send the body as it is")
    return Head(
        method=method,
        target=target,
        version=version,
        headers=headers,
        length=_length(headers, version),
        keep_alive=_keeps_alive(headers, version),
        expects_continue=_expects_continue(headers, version),
    )


def _request_line(line: str) -> tuple[str, str, str]:
    parts = line.split(" ")
    if len(parts) != 3 or not _METHOD.fullmatch(parts[0]):
        raise RefusedRequest(400, "the request line is not valid HTTP/1.1")
    method, target, version = parts
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        known = re.fullmatch(r"HTTP/\d\.\d", version)
        raise RefusedRequest(505 if known else 400, "only HTTP/1.1 and HTTP/1.0 are supported")
    if not _TARGET.fullmatch(target):
        raise RefusedRequest(400, "the request's target must be a path such as /v1/models")
    return method, target, version.removeprefix("HTTP/")


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not _NAME.fullmatch(name):
        # Also folded lines, which begin with a space, and a space before the colon.
        raise RefusedRequest(400, "a header line does not have the form Name: value")
    value = value.strip(" \t")
    if _CONTROL.search(value):
        raise RefusedRequest(400, "a header has a control character in its value")
    # As UTF-8 where it is valid, so that logs and keys are as the client wrote them.
    return name.lower(), value.encode("latin-1").decode("utf-8", "replace")


def _values(headers: tuple[tuple[str, str], ...], name: str) -> list[str]:
    return [value for key, value in headers if key == name]


def _length(headers: tuple[tuple[str, str], ...], version: str) -> int | None:
    lengths, codings = _values(headers, "content-length"), _values(headers, "transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise RefusedRequest(400, "the request states the length of its body more than once")
    if codings:
        if codings[0].lower() != "chunked" or version == "1.0":
            raise RefusedRequest(400, "the only supported Transfer-Encoding is chunked, and only in HTTP/1.1")
        return -1
    if not lengths:
        return None
    if not _LENGTH.fullmatch(lengths[0]):
        raise RefusedRequest(400, "Content-Length is not a number")
    return int(lengths[0])


def _keeps_alive(headers: tuple[tuple[str, str], ...], version: str) -> bool:
    words = {word.strip().lower() for value in _values(headers, "connection") for word in value.split(",")}
    return "close" not in words and (version == "1.1" or "keep-alive" in words)


def _expects_continue(headers: tuple[tuple[str, str], ...], version: str) -> bool:
    expected = [value.lower() for value in _values(headers, "expect")]
    if any(value != "100-continue" for value in expected):
        raise RefusedRequest(417, "the only supported Expect is 100-continue")
    return bool(expected) and version == "1.1"
