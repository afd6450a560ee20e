"""The TCP sockets of the daemon: they listen before anything else is done, so that a failure is known at once and is
one sentence."""

from __future__ import annotations

import errno
import select
import socket

from . import port_holder

_BACKLOG = 1024
_FREE_PORTS = 16
_ARRIVAL_MS = 2000


class ListenError(Exception):
    """The address cannot be used; `str()` says why and what to do."""


def listen_tcp(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen, and that a connection from this machine has reached. `localhost` is 127.0.0.1 and, where
    there is IPv6, ::1. Port 0 takes a free one."""
    socks = _bind(host, port)
    try:
        for sock in socks:
            try:
                sock.listen(_BACKLOG)
            except OSError as error:  # another one was bound beside it, and listened first
                raise ListenError(_reason(error, host, port)) from error
        for sock in socks:
            _check_reached(sock, host)
    except ListenError:
        _close(socks)
        raise
    return socks


def _bind(host: str, port: int) -> list[socket.socket]:
    if host == "localhost":
        return _bind_localhost(port)
    if host == "::":
        return [_claim(socket.AF_INET6, (host, port), host, both=True)]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise ListenError(f"host {host!r} cannot be resolved; --host takes an address of this machine") from None
    family, _, _, _, address = found[0]
    return [_claim(family, address, host)]


def _bind_localhost(port: int) -> list[socket.socket]:
    """The same port of both loopbacks; of 127.0.0.1 alone where the machine has no IPv6. A free port of one that is
    taken on the other is passed over: `localhost` would be another program for some clients."""
    for _ in range(1 if port else _FREE_PORTS):
        first = _claim(socket.AF_INET, ("127.0.0.1", port), "127.0.0.1")
        try:
            return [first, _claim(socket.AF_INET6, ("::1", first.getsockname()[1]), "::1")]
        except ListenError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno != errno.EADDRINUSE:
                return [first]
            first.close()
            if port:
                raise
    raise ListenError("no port is free on both 127.0.0.1 and ::1; choose one with --port")


def _claim(family: int, address: object, host: str, *, both: bool = False) -> socket.socket:
    """A bound socket. Where something is in the way it is asked for: on macOS, SO_REUSEADDR would also bind beside a
    program that listens on a part of the address, and that part would reach the other program. Connections that the
    last daemon closed answer nothing, and must not be in the way."""
    port = address[1] if isinstance(address, tuple) else 0
    try:
        return _open(family, address, both=both, reuse=False)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ListenError(_reason(error, host, port)) from error
        holder = port_holder.find(host, port)
        if holder is not None:
            raise ListenError(_reason(error, host, port, holder)) from error
    try:
        return _open(family, address, both=both, reuse=True)
    except OSError as error:
        raise ListenError(_reason(error, host, port)) from error


def _open(family: int, address: object, *, both: bool, reuse: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)  # type: ignore[arg-type]
        # After the bind it is for the connections, which inherit it: on Linux they would keep the next daemon from
        # the port otherwise.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited too: a client whose machine is gone does not keep its connection for ever.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _check_reached(sock: socket.socket, host: str) -> None:
    """Connect to our own address and see the connection arrive. Where that cannot be tried, as without a loopback
    interface, nothing is known and nothing refused."""
    address = sock.getsockname()
    for own in {"0.0.0.0": ["127.0.0.1"], "::": ["::1", "127.0.0.1"]}.get(address[0], [address[0]]):
        try:
            probe = socket.create_connection((own, *address[1:2]), _ARRIVAL_MS / 1000)
        except OSError:
            continue
        with probe:
            if not _arrives(sock, probe):
                holder = port_holder.find(own, address[1]) or "another program"
                raise ListenError(_in_use(address[1], holder, own))


def _arrives(sock: socket.socket, probe: socket.socket) -> bool:
    """Whether the connection comes out at the listener. One of a client that is faster than our check is closed."""
    ours = probe.getsockname()[:2]
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    while poll.poll(_ARRIVAL_MS):
        try:
            accepted, peer = sock.accept()
        except OSError:  # it has gone already
            continue
        accepted.close()
        if _plain(peer) == ours:
            return True
    return False


def _plain(peer: tuple[str, int]) -> tuple[str, int]:
    """An IPv4 address as such, also where it comes to a socket of both families."""
    return peer[0].removeprefix("::ffff:"), peer[1]


def _close(socks: list[socket.socket]) -> None:
    for sock in socks:
        sock.close()


def _reason(error: OSError, host: str, port: int, holder: str = "another program") -> str:
    if error.errno == errno.EADDRINUSE:
        return _in_use(port, holder)
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host {host!r} is not an address of this machine; --host 0.0.0.0 listens on all of them"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} needs privileges that this user does not have; choose one above 1023 with --port"
    if error.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
        return f"host {host!r}: this machine does not support that protocol: {error.strerror}"
    return f"cannot listen on {host} port {port}: {error.strerror}"


def _in_use(port: int, holder: str, address: str = "") -> str:
    where = f"port {port}" + (f" of {address}" if address else "")
    return f"{where} is in use by {holder}; stop that one, or choose another port with --port"
