"""A connection to a host, plain or TLS, that can be cancelled at any moment: it waits in short intervals."""

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

from .timeouts import ConnectionLost, Watchdog

_POLL_SECONDS = 0.1
_READ_BUFFER = 64 << 10


class Transport:
    """As much of a socket as http.client needs. `watchdog` is checked while it waits for bytes."""

    def __init__(self, sock: socket.socket, watchdog: Watchdog) -> None:
        sock.setblocking(False)
        self._socket = sock
        self.watchdog = watchdog
        self.nonblocking = False

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Raises ssl.SSLError, ConnectionLost, FetchStopped."""
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
        """0 at the end of the stream; None when nothing arrived within the interval and it is `nonblocking`."""
        self.watchdog.check()
        while True:
            try:
                count = self._socket.recv_into(buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                if not self._ready(select.POLLIN) and self.nonblocking:
                    return None
            except ssl.SSLWantWriteError:
                self.await_event(select.POLLOUT)
            else:
                self.watchdog.received(count)
                return count

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self), _READ_BUFFER)

    def await_event(self, event: int) -> None:
        while not self._ready(event):
            pass

    def _ready(self, event: int) -> bool:
        """Whether the event came within one interval."""
        poll = select.poll()
        poll.register(self._socket, event)
        began = time.monotonic()
        ready = poll.poll(_POLL_SECONDS * 1000)
        self.watchdog.wait_time.seconds += time.monotonic() - began
        if not ready:
            self.watchdog.check()
        return bool(ready)

    def connect(self, address: Any) -> None:
        """Raises OSError when it fails."""
        code = self._socket.connect_ex(address)
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR):
            self.await_event(select.POLLOUT)
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def alive(self) -> bool:
        """Whether an idle connection can be used again: the server has neither sent anything nor closed it."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Does nothing: http.client calls it before the body is read when the body ends with the connection."""

    def disconnect(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


class _Reader(io.RawIOBase):
    """The reading side for http.client's parser. Closing it leaves the connection open."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        try:
            return self._transport.receive(buffer)
        except OSError as error:
            raise ConnectionLost("the connection was lost") from error
