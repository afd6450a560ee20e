"""Opens connections: name resolution, TCP, a proxy where one is set, TLS."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from typing import cast
from urllib.parse import SplitResult

from ...errors import HubUnreachable
from ..address_scope import GLOBAL, UNROUTABLE, scope_of
from ..certificates import trusted
from ..proxies import credentials, proxy_for
from .timeouts import ConnectionLost, Timeouts, Watchdog
from .transport import Transport

Origin = tuple[str, str, int]
"""Scheme, host, port."""


class Dialer:
    """Opens connections for one endpoint. A redirect may not lead to a more private address than the hub's own.

    Otherwise a hub on the internet could make the daemon send requests to 10.0.0.1, 127.0.0.1 or 169.254.169.254.
    """

    def __init__(self, endpoint: Origin, timeouts: Timeouts) -> None:
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._scope: int | None = None
        self._context: ssl.SSLContext | None = None

    def dial(self, origin: Origin, watchdog: Watchdog) -> tuple[Transport, bool]:
        """A connection, and whether requests on it need absolute URLs, as an HTTP proxy expects.

        Raises ConnectionLost, FetchStopped, HubUnreachable.
        """
        scheme, host, port = origin
        proxy = proxy_for(scheme, host, port)
        try:
            if proxy is None:
                transport = self._connect(host, port, watchdog, checked=True, own=origin == self._endpoint)
            else:
                transport = self._connect(proxy.hostname or "", proxy.port or 80, watchdog, checked=False, own=False)
                _refuse_literal(host, self._endpoint[1])
            try:
                if scheme == "https":
                    if proxy is not None:
                        _tunnel(transport, host, port, proxy)
                    transport.start_tls(self._tls(), host)
            except BaseException:
                transport.disconnect()
                raise
        except ssl.SSLCertVerificationError as error:
            raise HubUnreachable(
                f"the certificate of {host} is not trusted: {error.verify_message}",
                hint="behind a TLS-inspecting proxy, set SSL_CERT_FILE to its certificate in the daemon's environment",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionLost(f"cannot connect to {host}: {_reason(error)}") from error
        return transport, proxy is not None and scheme == "http"

    def _connect(self, host: str, port: int, watchdog: Watchdog, *, checked: bool, own: bool) -> Transport:
        watchdog.check()
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if checked:
            scope = max(scope_of(str(info[4][0])) for info in found)
            if own:
                self._scope = scope
            elif scope == UNROUTABLE or (self._scope is not None and scope > self._scope):
                raise HubUnreachable(
                    f"the hub redirects to {host}, an address of a private network; such redirects are not followed",
                    hint="check HF_ENDPOINT and the DNS server of this network",
                )
        failure: OSError | None = None
        for family, kind, protocol, _, address in found:
            transport = Transport(
                socket.socket(family, kind, protocol), _ConnectTimeout(watchdog, self._timeouts.connect)
            )
            try:
                transport.connect(address)
            except BaseException as error:
                transport.disconnect()
                if not isinstance(error, OSError):
                    raise
                failure = error
                continue
            transport.watchdog = watchdog
            return transport
        raise failure or OSError(f"{host} has no address")

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = trusted()
        return self._context


class _ConnectTimeout(Watchdog):
    """The watchdog of a thread with a time limit of its own for one of several addresses."""

    def __init__(self, watchdog: Watchdog, seconds: float) -> None:
        self._watchdog = watchdog
        self.wait_time = watchdog.wait_time
        self._until = time.monotonic() + seconds

    def received(self, count: int) -> None:
        self._watchdog.received(count)

    def check(self) -> None:
        self._watchdog.check()
        if time.monotonic() >= self._until:
            raise TimeoutError("connection timed out")


def _tunnel(transport: Transport, host: str, port: int, proxy: SplitResult) -> None:
    connection = http.client.HTTPConnection(proxy.hostname or "", proxy.port)
    connection.sock = cast(socket.socket, transport)
    name = f"[{host}]" if ":" in host else host
    connection.request("CONNECT", f"{name}:{port}", headers=credentials("https", host, port))
    answer = connection.getresponse()
    if answer.status != 200:
        raise OSError(f"the proxy answered CONNECT with status {answer.status}")
    answer.close()


def _refuse_literal(host: str, endpoint: str) -> None:
    """A proxy resolves names itself, so only literal addresses can be checked here."""
    try:
        scope = scope_of(host)
    except ValueError:
        return
    if host != endpoint and scope != GLOBAL:
        raise HubUnreachable(
            f"the hub redirects to {host}, an address of a private network; such redirects are not followed"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)[:120]
