"""Whether it is our daemon that answers at the address which a command is about to print. Standard library only."""

from __future__ import annotations

import socket

_SECONDS = 2.0
_INSTANCE = b"x-mlx-serve-instance"


def answers(url: str, instance: str) -> bool | None:
    """Whether the daemon of this instance answers at a URL; None when nobody does. On macOS another program can take a
    part of an address that the daemon listens on."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _SECONDS) as connection:
            if connection.getsockname() == connection.getpeername():
                return None  # the system chose this very port for our end
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            head = _head(connection)
    except TimeoutError:
        return False
    except OSError:
        return None
    return (_INSTANCE, instance.encode()) in [
        (name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in head.split(b"\n"))
    ]


def _head(connection: socket.socket) -> bytes:
    """Up to the end of the response's head; of what is no head, a little."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < 1 << 14:
        try:
            more = connection.recv(4096)
        except OSError:
            break
        if not more:
            break
        data += more
    return data.partition(b"\r\n\r\n")[0]
