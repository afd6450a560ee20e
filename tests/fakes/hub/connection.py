"""One connection to the test hub: reads heads, sends answers, and does wrong what a fault says."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

from fakes.hub.answers import Answer, bend, take_range
from fakes.hub.body import Body, Ended
from fakes.hub.faults import Fault, Faults, Gate
from fakes.hub.journal import Journal, Request

_HEAD_LIMIT = 64 << 10


class Connection:
    """Serves one socket until either side ends it. `route` finds the right answer, before any fault."""

    def __init__(
        self,
        peer: socket.socket,
        host: str,
        route: Callable[[Request], Answer],
        faults: Faults,
        journal: Journal,
        closing: threading.Event,
    ) -> None:
        self.descriptor = None if isinstance(peer, ssl.SSLSocket) else peer.fileno()
        self._peer = peer
        self._host = host
        self._route = route
        self._faults = faults
        self._journal = journal
        self._closing = closing
        self._read = b""
        self._request: Request | None = None

    def run(self) -> None:
        try:
            if isinstance(self._peer, ssl.SSLSocket):
                self._peer.do_handshake()
            while (request := self._next()) is not None:
                self._request = request
                try:
                    self._serve(request)
                finally:
                    self._journal.finish(request)
        except (Ended, OSError):
            return

    def _next(self) -> Request | None:
        while b"\r\n\r\n" not in self._read:
            data = self._peer.recv(_HEAD_LIMIT)
            if not data or len(self._read) > _HEAD_LIMIT:
                return None
            self._read += data
        head, self._read = self._read.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        path, _, text = target.partition("?")
        query = dict(parse_qsl(text, keep_blank_values=True))
        return Request(method, unquote(path), query, headers, self._host, raw_path=path)

    def _serve(self, request: Request) -> None:
        answer = self._route(request)
        planned = self._faults.take(request, answer.kind)
        request.kind, request.fault = answer.kind, planned is not None
        self._journal.add(request)
        fault = planned or Fault()
        if fault.before is not None:
            self.wait(fault.before)
        answer = bend(answer, fault)
        take_range(answer, request, fault)
        request.status = answer.status
        chunked = fault.chunked or fault.endless or (answer.length is None and not fault.no_length)
        until_close = (fault.gzip or fault.no_length) and not chunked
        self.send(_head(answer, fault, chunked, until_close))
        if request.method != "HEAD":
            Body(self, fault, chunked).send(answer)
        if until_close or request.headers.get("connection", "").lower() == "close":
            self.goodbye()

    # what a body needs

    def send(self, data: bytes | memoryview) -> None:
        self._peer.sendall(data)

    def count(self, sent: int) -> None:
        if self._request is not None:
            self._journal.sent(self._request, sent)

    def goodbye(self) -> None:
        """A polite end."""
        self._peer.shutdown(socket.SHUT_WR)
        raise Ended

    def cut_off(self) -> None:
        """An end by reset."""
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Ended

    def wait(self, gate: Gate) -> None:
        """Until the gate opens, the hub ends or the other side hangs up."""
        gate.reached.set()
        while not gate.opened.wait(0.02):
            hung_up = select.select([self._peer], [], [], 0)[0] and not self._more()
            if hung_up or self._closing.is_set():
                raise Ended

    def _more(self) -> bool:
        """Whether the other side has sent something, and not its end."""
        if isinstance(self._peer, ssl.SSLSocket):
            self._read += (data := self._peer.recv(_HEAD_LIMIT))
            return bool(data)
        return bool(self._peer.recv(1, socket.MSG_PEEK))

    def pace(self, until: float) -> None:
        if self._closing.wait(max(0.0, until - time.monotonic())):
            raise Ended


def _head(answer: Answer, fault: Fault, chunked: bool, until_close: bool) -> bytes:
    reason = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else "Answer"
    lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{name}: {value}" for name, value in answer.headers.items())]
    if fault.gzip:
        lines.append("Content-Encoding: gzip")
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    elif until_close:
        lines.append("Connection: close")
    elif "Content-Length" not in answer.headers:
        lines.append(f"Content-Length: {(answer.length or 0) + fault.extra}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
