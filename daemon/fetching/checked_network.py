"""Connections for one URL: its host is resolved, its addresses are checked, and the connection goes to one of those
very addresses.

A name that is resolved again for the connection could have another address by then (DNS rebinding). TLS and the Host
header keep the name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import httpcore2

from ...store.hub.address_scope import GLOBAL, scope_of
from ..errors import FetchRefused

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""Host and port to IP addresses, never none. Raises OSError or UnicodeError."""
Connect: TypeAlias = Callable[[str, int, float], Awaitable[httpcore2.AsyncNetworkStream]]
"""An IP address, a port and a time limit in seconds to a connection. Raises httpcore2's errors."""

_PRIVATE = (
    "its host is not on the internet, and this server fetches nothing from private, loopback or link-local addresses "
    "unless models.fetch_private_images is true"
)
_REDIRECTED = "it redirects to a host of a more private network"

# Threads of its own: a name server that does not answer holds one for many seconds.
_threads = ThreadPoolExecutor(8, "fetch-resolve")


async def resolve(host: str, port: int) -> list[str]:
    """By the system's resolver."""
    call = asyncio.get_running_loop().run_in_executor(_threads, _addresses, host, port)
    return await call


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


async def connect(address: str, port: int, seconds: float) -> httpcore2.AsyncNetworkStream:
    return await httpcore2.AnyIOBackend().connect_tcp(address, port, timeout=seconds)


class CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """The network as one URL and its redirects may see it. `private`: the URL may lead to private addresses; even then
    a redirect may not lead to a more private one than the URL's own."""

    def __init__(
        self,
        *,
        private: bool,
        connect_seconds: float,
        resolve: Resolve = resolve,
        connect: Connect = connect,
    ) -> None:
        self._private = private
        self._seconds = connect_seconds
        self._resolve = resolve
        self._connect = connect
        self._own: int | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore2's)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises FetchRefused, or httpcore2.ConnectError when none of the addresses answers."""
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise FetchRefused("the name of its host cannot be resolved") from None
        self._check(max(map(scope_of, addresses)))
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._connect(address, port, self._seconds)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise httpcore2.ConnectError("no address answers") from failure

    def _check(self, scope: int) -> None:
        """One address that is not allowed is enough: which one is connected to would be chance."""
        if self._own is None:
            self._own = scope
            if scope != GLOBAL and not self._private:
                raise FetchRefused(_PRIVATE)
        elif scope > self._own:
            raise FetchRefused(_REDIRECTED)
