"""A proxy on the loopback address that opens tunnels (CONNECT)."""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import suppress

from support.waiting import GUARD


class Proxy:
    """Opens tunnels (CONNECT) for whoever knows the password, and remembers where to."""

    def __init__(self, password: str | None = None) -> None:
        self.tunnels: list[str] = []
        self._password = password
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, suppress(OSError):
            head = peer.recv(65536).decode()
            wanted = head.split(" ")[1]
            known = "Proxy-Authorization: Basic " + base64.b64encode((self._password or "").encode()).decode()
            if self._password is not None and known not in head:
                peer.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
                return
            self.tunnels.append(wanted)
            host, _, port = wanted.rpartition(":")
            with socket.create_connection((host, int(port))) as other:
                peer.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_copy, args=(other, peer), daemon=True)
                back.start()
                _copy(peer, other)
                back.join(GUARD)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
