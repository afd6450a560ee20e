"""One connection to the test hub: reads heads, sends answers fast, and does wrong what a fault says."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, unquote

from hub.answers import Answer, bend, take_range
from hub.faults import Fault, Faults, Gate
from hub.journal import Journal, Request

_HEAD_LIMIT = 64 << 10
_PART = 4 << 20
_REASONS = {200: "OK", 206: "Partial Content", 302: "Found", 307: "Temporary Redirect", 404: "Not Found"}


class Ended(Exception):
    """The connection is over, as planned or because the other side has gone."""


class Connection:
    """Serves one socket until either side ends it."""

    def __init__(
        self,
        peer: socket.socket,
        host: str,
        route: Callable[[Request], Answer],
        faults: Faults,
        journal: Journal,
        closing: threading.Event,
    ) -> None:
        self._peer = peer
        self._host = host
        self._route = route
        self._faults = faults
        self._journal = journal
        self._closing = closing
        self._read = b""

    def run(self) -> None:
        try:
            while (request := self._next()) is not None:
                try:
                    self._serve(request)
                finally:
                    self._journal.finish(request)
        except (Ended, OSError, ValueError):
            return

    # reading

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
        path, _, query = target.partition("?")
        return Request(
            method, unquote(path), dict(parse_qsl(query, keep_blank_values=True)), headers, self._host, raw_path=path
        )

    # answering

    def _serve(self, request: Request) -> None:
        answer = self._route(request)
        fault = self._faults.take(request, answer.kind)
        request.kind, request.fault = answer.kind, fault is not None
        self._journal.add(request)
        fault = fault or Fault()
        if fault.before is not None:
            self._wait(fault.before)
        answer = bend(answer, fault)
        take_range(answer, request, fault)
        request.status = answer.status
        plain = fault.gzip or fault.no_length or fault.chunked or fault.endless or answer.length is None
        chunked = plain and not fault.no_length and not fault.gzip
        self._send(_head(answer, fault, chunked, plain))
        if request.method != "HEAD":
            Body(self, request, fault, chunked).send(answer)
        if (plain and not chunked) or request.headers.get("connection", "").lower() == "close":
            self._goodbye()

    def _goodbye(self) -> None:
        self._peer.shutdown(socket.SHUT_WR)
        raise Ended

    def _break(self) -> None:
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Ended

    def _send(self, data: bytes | memoryview) -> None:
        self._peer.sendall(data)

    def _wait(self, gate: Gate) -> None:
        """Until the gate opens, the hub ends or the other side hangs up."""
        gate.reached.set()
        while not gate.opened.wait(0.02):
            if self._closing.is_set():
                raise Ended
            if select.select([self._peer], [], [], 0)[0] and not self._peer.recv(1, socket.MSG_PEEK):
                raise Ended

    def _pace(self, until: float) -> None:
        if self._closing.wait(max(0.0, until - time.monotonic())):
            raise Ended


class Body:
    """One body on its way out."""

    def __init__(self, connection: Connection, request: Request, fault: Fault, chunked: bool) -> None:
        self._connection = connection
        self._request = request
        self._fault = fault
        self._chunked = chunked
        self._sent = 0
        self._began = time.monotonic()

    def send(self, answer: Answer) -> None:
        fault = self._fault
        if answer.content is not None and not fault.gzip:
            self._stretches(answer)
        elif fault.gzip:
            self._data(gzipped(answer))
        elif isinstance(answer.body, bytes):
            self._data(answer.body)
        else:
            for piece in answer.body:
                self._data(piece)
        if fault.extra:
            self._data(b"\0" * fault.extra)
        while fault.endless:
            self._data(bytes(_PART))
        self._stop_here()
        if self._chunked:
            self._connection._send(b"0\r\n\r\n")

    def _stretches(self, answer: Answer) -> None:
        """The file's bytes, one of them turned where the fault says so, all of them moved where it says that."""
        content, flip = answer.content, self._fault.flip
        if content is None:
            return
        size = content.size
        start, stop = answer.start + self._fault.shift, answer.stop + self._fault.shift
        pieces = [(start, stop)]
        if self._fault.shift:
            start, stop = start % max(size, 1), stop % max(size, 1)
            pieces = [(start, stop)] if start < stop else [(start, size), (0, stop)]
        for first, last in pieces:
            if flip is not None and first <= flip < last:
                self._stretch(answer, first, flip)
                self._data(bytes([content.read(flip, flip + 1)[0] ^ 0xFF]))
                first = flip + 1
            self._stretch(answer, first, last)

    def _stretch(self, answer: Answer, start: int, stop: int) -> None:
        content = answer.content
        descriptor = content.descriptor if content is not None else None
        if content is None:
            return
        while start < stop:
            count = min(stop - start, self._room())
            if descriptor is None:
                self._data(content.read(start, start + count))
            else:
                if self._chunked:
                    self._connection._send(b"%x\r\n" % count)
                self._copy(descriptor, start, count)
                if self._chunked:
                    self._connection._send(b"\r\n")
            start += count

    def _copy(self, descriptor: int, start: int, count: int) -> None:
        peer = self._connection._peer.fileno()
        while count:
            sent = os.sendfile(peer, descriptor, start, count)
            if sent == 0:
                raise Ended
            start += sent
            count -= sent
            self._count(sent)

    def _data(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            piece, view = view[: self._room()], view[self._room() :]
            framed = b"%x\r\n%b\r\n" % (len(piece), bytes(piece)) if self._chunked else piece
            self._connection._send(framed)
            self._count(len(piece))

    def _room(self) -> int:
        """How many bytes may go out in one piece now; ends or holds the answer where the fault says so."""
        self._stop_here()
        fault = self._fault
        room = _PART if fault.rate is None else max(1, min(_PART, int(fault.rate / 50)))
        if fault.cut is not None:
            room = min(room, fault.cut - self._sent)
        if fault.pause_at is not None and self._sent < fault.pause_at:
            room = min(room, fault.pause_at - self._sent)
        return room

    def _stop_here(self) -> None:
        fault = self._fault
        if fault.cut is not None and self._sent >= fault.cut:
            if fault.reset:
                self._connection._break()
            self._connection._goodbye()
        if fault.pause_at == self._sent and fault.gate is not None:
            self._connection._wait(fault.gate)

    def _count(self, sent: int) -> None:
        self._sent += sent
        self._connection._journal.sent(self._request, sent)
        if self._fault.rate is not None:
            self._connection._pace(self._began + self._sent / self._fault.rate)


def gzipped(answer: Answer) -> bytes:
    import gzip

    plain = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
    if answer.content is not None:
        plain = bytes(answer.content.read(answer.start, answer.stop))
    return gzip.compress(plain, 1, mtime=0)


def _head(answer: Answer, fault: Fault, chunked: bool, plain: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Answer')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    elif fault.gzip:
        lines.append("Content-Encoding: gzip")
    elif not plain and "Content-Length" not in answer.headers:
        lines.append(f"Content-Length: {(answer.length or 0) + fault.extra}")
    if plain and not chunked:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def pieces(unit: bytes, count: int) -> Iterator[bytes]:
    """A body of count units, made as it is sent."""
    for _ in range(count):
        yield unit
