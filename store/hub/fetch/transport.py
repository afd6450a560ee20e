"""A connection to a host, plain or TLS, that can be given up at any moment: it never waits longer than a blink."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import socket
import ssl
import time
from typing import Any

from .timeouts import Lost, Watch

_BLINK = 0.1
_READER = 64 << 10


class Line:
    """As much of a socket as http.client needs. `watch` is heeded while bytes are waited for."""

    def __init__(self, sock: socket.socket, watch: Watch) -> None:
        sock.setblocking(False)
        self._socket = sock
        self.watch = watch
        self.impatient = False

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """TLS from here on. Raises ssl.SSLError, Lost, Stopped."""
        wrapped = context.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        self._socket = wrapped
        while True:
            try:
                return wrapped.do_handshake()
            except ssl.SSLWantReadError:
                self.await_event(select.POLLIN)
            except ssl.SSLWantWriteError:
                self.await_event(select.POLLOUT)

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self.await_event(select.POLLOUT)
            except ssl.SSLWantReadError:
                self.await_event(select.POLLIN)

    def receive(self, buffer: Any) -> int | None:
        """0 at the end of the stream; None when nothing came for a blink and the line is `impatient`."""
        self.watch.heed()
        while True:
            try:
                count = self._socket.recv_into(buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                if not self._ready(select.POLLIN) and self.impatient:
                    return None
            except ssl.SSLWantWriteError:
                self.await_event(select.POLLOUT)
            else:
                self.watch.received(count)
                return count

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self), _READER)

    def await_event(self, event: int) -> None:
        while not self._ready(event):
            pass

    def _ready(self, event: int) -> bool:
        """Waits for a blink at most."""
        poll = select.poll()
        poll.register(self._socket, event)
        began = time.monotonic()
        ready = poll.poll(_BLINK * 1000)
        self.watch.waits.seconds += time.monotonic() - began
        if not ready:
            self.watch.heed()
        return bool(ready)

    def connect(self, address: Any) -> None:
        """Raises OSError when it comes to nothing."""
        code = self._socket.connect_ex(address)
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR):
            self.await_event(select.POLLOUT)
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def alive(self) -> bool:
        """Whether an idle connection can be used again: the other side has neither spoken nor hung up."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """What http.client calls when a body ends with the connection: before the body was read. So nothing happens."""

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


class _Reader(io.RawIOBase):
    """The reading side for http.client's parser. Closing it leaves the connection open."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        try:
            return self._line.receive(buffer)
        except OSError as error:
            raise Lost("the connection broke off") from error
