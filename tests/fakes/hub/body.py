"""One body on its way out of the test hub, and what can happen to it on the way."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from typing import Protocol

from fakes.hub.answers import Answer
from fakes.hub.contents import Content
from fakes.hub.faults import Fault, Gate

_PART = 4 << 20


class Ended(Exception):
    """The connection is over, as planned or because the other side has gone."""


class Line(Protocol):
    """What a body needs of its connection; all but `count` raise Ended. `descriptor`: the socket, None with TLS."""

    descriptor: int | None

    def send(self, data: bytes | memoryview) -> None: ...
    def count(self, sent: int) -> None: ...
    def goodbye(self) -> None: ...
    def cut_off(self) -> None: ...
    def wait(self, gate: Gate) -> None: ...
    def pace(self, until: float) -> None: ...


class Body:
    """Sends one answer's body. Files on disk go from the kernel's memory to the socket and never come through here."""

    def __init__(self, line: Line, fault: Fault, chunked: bool) -> None:
        self._line = line
        self._fault = fault
        self._chunked = chunked
        self._sent = 0
        self._began = time.monotonic()

    def send(self, answer: Answer) -> None:
        fault = self._fault
        if fault.gzip:
            self._data(zipped(answer))
        elif answer.content is not None:
            self._stretches(answer.content, answer.start, answer.stop)
        elif isinstance(answer.body, bytes):
            self._data(answer.body)
        else:
            for piece in answer.body:
                self._data(piece)
        if fault.extra:
            self._data(bytes(fault.extra))
        while fault.endless:
            self._data(bytes(_PART))
        self._stop_here()
        if self._chunked:
            self._line.send(b"0\r\n\r\n")

    def _stretches(self, content: Content, start: int, stop: int) -> None:
        """The file's bytes, one of them turned where the fault says so, all of them moved where it says that."""
        flip, size = self._fault.flip, content.size
        pieces = [(start, stop)]
        if self._fault.shift and size:
            start, stop = (start + self._fault.shift) % size, (stop + self._fault.shift) % size
            pieces = [(start, stop)] if start < stop else [(start, size), (0, stop)]
        for first, last in pieces:
            if flip is not None and first <= flip < last:
                self._stretch(content, first, flip)
                self._data(bytes([content.read(flip, flip + 1)[0] ^ 0xFF]))
                first = flip + 1
            self._stretch(content, first, last)

    def _stretch(self, content: Content, start: int, stop: int) -> None:
        while start < stop:
            count = min(stop - start, self._room())
            if content.descriptor is None or self._line.descriptor is None or self._chunked:
                self._data(content.read(start, start + count))
            else:
                self._copy(self._line.descriptor, content.descriptor, start, count)
            start += count

    def _copy(self, peer: int, descriptor: int, start: int, count: int) -> None:
        while count:
            sent = os.sendfile(peer, descriptor, start, count)
            if sent == 0:
                raise Ended
            start, count = start + sent, count - sent
            self._count(sent)

    def _data(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            room = self._room()
            piece, view = view[:room], view[room:]
            self._line.send(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)) if self._chunked else piece)
            self._count(len(piece))

    def _room(self) -> int:
        """How many bytes may go out in one piece now; ends or holds the answer where the fault says so."""
        self._stop_here()
        fault = self._fault
        room = _PART if fault.rate is None else max(1, min(_PART, int(fault.rate / 200)))
        if fault.cut is not None:
            room = min(room, fault.cut - self._sent)
        if fault.pause_at is not None and self._sent < fault.pause_at:
            room = min(room, fault.pause_at - self._sent)
        return room

    def _stop_here(self) -> None:
        fault = self._fault
        if fault.cut is not None and self._sent >= fault.cut:
            if fault.reset:
                self._line.cut_off()
            self._line.goodbye()
        if fault.pause_at == self._sent and fault.gate is not None:
            self._line.wait(fault.gate)

    def _count(self, sent: int) -> None:
        self._sent += sent
        self._line.count(sent)
        if self._fault.rate is not None:
            self._line.pace(self._began + self._sent / self._fault.rate)


def zipped(answer: Answer) -> bytes:
    if answer.content is not None:
        return gzip.compress(answer.content.read(answer.start, answer.stop), 1, mtime=0)
    return gzip.compress(answer.body if isinstance(answer.body, bytes) else b"".join(answer.body), 1, mtime=0)


def pieces(unit: bytes, count: int) -> Iterator[bytes]:
    """A body of count units, made as it is sent."""
    for _ in range(count):
        yield unit
