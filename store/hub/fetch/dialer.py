"""Opens connections: name to address, address to socket, through a proxy where the environment says so, TLS on top."""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import os
import socket
import ssl
import time
from typing import cast
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from ...errors import HubUnreachable
from .timeouts import Lost, Patience, Watch
from .transport import Line

Origin = tuple[str, str, int]
"""Scheme, host, port."""

_GLOBAL, _PRIVATE, _LOOPBACK, _NEVER = range(4)


class Dialer:
    """Makes connections for one endpoint. What the hub points to may not lie deeper inside than the hub itself.

    A hub in the internet that sends us to 10.0.0.1, 127.0.0.1 or 169.254.169.254 wants us to talk to our neighbours.
    """

    def __init__(self, endpoint: Origin, patience: Patience) -> None:
        self._endpoint = endpoint
        self._patience = patience
        self._depth: int | None = None
        self._context: ssl.SSLContext | None = None

    def dial(self, origin: Origin, watch: Watch) -> tuple[Line, bool]:
        """A connection, and whether it is a proxy that wants whole addresses. Raises Lost, Stopped, HubUnreachable."""
        scheme, host, port = origin
        proxy = _proxy(scheme, host, port)
        try:
            if proxy is None:
                line = self._connect(host, port, watch, checked=True, own=origin == self._endpoint)
            else:
                line = self._connect(proxy.hostname or "", proxy.port or 80, watch, checked=False, own=False)
                _refuse_literal(host, self._endpoint[1])
            try:
                if scheme == "https":
                    if proxy is not None:
                        _tunnel(line, host, port, proxy)
                    line.secure(self._tls(), host)
            except BaseException:
                line.hang_up()
                raise
        except ssl.SSLCertVerificationError as error:
            raise HubUnreachable(
                f"the certificate of {host} is not trusted: {error.verify_message}",
                hint="behind a proxy that opens TLS, set SSL_CERT_FILE to its certificate in the daemon's environment",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise Lost(f"no connection to {host}: {_words(error)}") from error
        return line, proxy is not None and scheme == "http"

    def _connect(self, host: str, port: int, watch: Watch, *, checked: bool, own: bool) -> Line:
        watch.heed()
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if checked:
            depth = max(_depth(str(info[4][0])) for info in found)
            if own:
                self._depth = depth
            elif depth == _NEVER or (self._depth is not None and depth > self._depth):
                raise HubUnreachable(
                    f"the hub sends to {host}, an address inside of this network, which is not followed",
                    hint="check HF_ENDPOINT and the network's name server",
                )
        failure: OSError | None = None
        for family, kind, protocol, _, address in found:
            line = Line(socket.socket(family, kind, protocol), _Hurried(watch, self._patience.connect))
            try:
                line.connect(address)
            except BaseException as error:
                line.hang_up()
                if not isinstance(error, OSError):
                    raise
                failure = error
                continue
            line.watch = watch
            return line
        raise failure or OSError(f"{host} has no address")

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            context = ssl.create_default_context()
            stated = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
            if not stated and not context.get_ca_certs() and ssl.get_default_verify_paths().capath is None:
                # A Python that was not built for this system does not find the system's certificates; the hub's
                # library usually brings some.
                with contextlib.suppress(ImportError):
                    import certifi

                    context.load_verify_locations(certifi.where())
            self._context = context
        return self._context


class _Hurried(Watch):
    """The watch of a stream while one address of several is tried."""

    def __init__(self, watch: Watch, seconds: float) -> None:
        self._watch = watch
        self.waits = watch.waits
        self._until = time.monotonic() + seconds

    def received(self, count: int) -> None:
        self._watch.received(count)

    def heed(self) -> None:
        self._watch.heed()
        if time.monotonic() >= self._until:
            raise TimeoutError("it does not answer")


def _proxy(scheme: str, host: str, port: int) -> SplitResult | None:
    proxies = getproxies_environment()
    address = proxies.get(scheme) or proxies.get("all")
    if not address or proxy_bypass(f"{host}:{port}") or proxy_bypass(host):
        return None
    parts = urlsplit(address if "//" in address else f"http://{address}")
    if parts.scheme != "http" or not parts.hostname:
        raise HubUnreachable(
            f"a proxy of the kind {parts.scheme}:// is not supported",
            hint="set HTTPS_PROXY in the daemon's environment to an address that begins with http://",
        )
    return parts


def proxy_credentials(scheme: str, host: str, port: int) -> dict[str, str]:
    """The header for a proxy that asks who is there."""
    proxy = _proxy(scheme, host, port)
    if proxy is None or proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode("ascii")}


def _tunnel(line: Line, host: str, port: int, proxy: SplitResult) -> None:
    connection = http.client.HTTPConnection(proxy.hostname or "", proxy.port)
    connection.sock = cast(socket.socket, line)
    name = f"[{host}]" if ":" in host else host
    connection.request("CONNECT", f"{name}:{port}", headers=proxy_credentials("https", host, port))
    answer = connection.getresponse()
    if answer.status != 200:
        raise OSError(f"the proxy answers {answer.status}")
    answer.close()


def _depth(address: str) -> int:
    """How far inside an address lies."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        return _LOOPBACK
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return _NEVER
    return _GLOBAL if ip.is_global else _PRIVATE


def _refuse_literal(host: str, endpoint: str) -> None:
    """A proxy resolves names itself, but an address that is written out can be seen here."""
    try:
        depth = _depth(host)
    except ValueError:
        return
    if host != endpoint and depth != _GLOBAL:
        raise HubUnreachable(f"the hub sends to {host}, an address inside of this network, which is not followed")


def _words(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known here"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)[:120]
