"""Which program answers at an address of this machine. Asked only where a port is in use."""

from __future__ import annotations

import contextlib
import re
import socket

_CONNECT_SECONDS = 0.5
_SERVER = re.compile(rb"\r\nserver:[ \t]*([!-~][ -~]{0,59})", re.IGNORECASE)


def find(host: str, port: int) -> str | None:
    """Who answers where `host` would listen: `nginx (pid 12)` where the system tells, else `another program`; None
    when nobody does."""
    for address in _addresses(host):
        if _listens(address, port):
            return _process(port) or _greeting(address, port) or "another program"
    return None


def _addresses(host: str) -> list[str]:
    """The unspecified address stands for every address of this machine."""
    if host not in ("0.0.0.0", "::"):
        return [host]
    import psutil

    families = {socket.AF_INET: "127.0.0.1"} | ({socket.AF_INET6: "::1"} if host == "::" else {})
    own = [entry.address for entries in psutil.net_if_addrs().values() for entry in entries if entry.family in families]
    return list(dict.fromkeys([*families.values(), *own]))


def _listens(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), _CONNECT_SECONDS) as connection:
            # Equal when the system chose this very port for our end.
            return bool(connection.getsockname() != connection.getpeername())
    except TimeoutError:
        return True  # it listens and does not accept
    except OSError:
        return False


def _greeting(address: str, port: int) -> str | None:
    """By the name that an HTTP server gives itself."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), _CONNECT_SECONDS) as connection:
        connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
        if found := _SERVER.search(connection.recv(4096)):
            return f"a program that calls itself {found[1].decode('ascii').strip()}"
    return None


def _process(port: int) -> str | None:
    """One of this user's processes, or for root any; the system does not show the sockets of others."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            for each in process.net_connections("tcp"):
                if each.status == psutil.CONN_LISTEN and each.laddr.port == port:
                    ours = "mlx_serve.daemon.main" in process.cmdline()
                    return f"{'the mlx-serve of another home' if ours else process.name()} (pid {process.pid})"
    return None
