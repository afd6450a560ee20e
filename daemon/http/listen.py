"""The TCP sockets of the daemon: bound first, so that a failure is known at once and is one sentence."""

from __future__ import annotations

import errno
import socket


class ListenError(Exception):
    """The address cannot be used; `str()` says why and what to do."""


def bind_tcp(host: str, port: int) -> list[socket.socket]:
    """Bound, not yet listening. `localhost` is 127.0.0.1 and, where there is IPv6, ::1. Port 0 takes a free one."""
    if host == "localhost":
        first = _bind(socket.AF_INET, ("127.0.0.1", port), host)
        return [first, *_beside(first.getsockname()[1], free=port == 0)]
    if host == "::":
        return [_bind(socket.AF_INET6, (host, port), host, both=True)]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise ListenError(f"host {host!r} cannot be resolved; --host takes an address of this machine") from None
    family, _, _, _, address = found[0]
    return [_bind(family, address, host)]


def _beside(port: int, *, free: bool) -> list[socket.socket]:
    """::1 on the same port; none where the machine has no IPv6, or where a free port of one is taken on the other."""
    try:
        return [_bind(socket.AF_INET6, ("::1", port), "localhost")]
    except ListenError as error:
        missing = isinstance(error.__cause__, OSError) and error.__cause__.errno != errno.EADDRINUSE
        if free or missing:
            return []
        raise


def _bind(family: int, address: object, host: str, *, both: bool = False) -> socket.socket:
    port = address[1] if isinstance(address, tuple) else 0
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ListenError(f"host {host!r}: this machine does not support that protocol: {error.strerror}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by every connection: a client whose machine is gone does not keep its connection for ever.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        sock.setblocking(False)
        sock.bind(address)  # type: ignore[arg-type]
    except OSError as error:
        sock.close()
        raise ListenError(_reason(error, host, port)) from error
    return sock


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use by another program; stop that one, or choose another port with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host {host!r} is not an address of this machine; --host 0.0.0.0 listens on all of them"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} needs privileges that this user does not have; choose one above 1023 with --port"
    return f"cannot listen on {host} port {port}: {error.strerror}"
