"""By which names this daemon may be called, from which pages, and from where: the rules, without HTTP.

A web page that points its own name at 127.0.0.1 sends that name as Host; a page that calls us directly sends its
Origin. Neither can be forged by a page.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]", "0.0.0.0")
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")
_APP_SCHEMES = ("app://", "tauri://", "vscode-webview://")
_PROXY_PREFIXES = ("x-forwarded", "x-original-forwarded", "cf-", "x-envoy-", "x-amz-cf-", "x-azure-", "tailscale-")
_PROXY_MARKS = frozenset(
    (
        *("via", "forwarded", "cdn-loop", "x-real-ip", "client-ip", "x-client-ip", "true-client-ip", "x-remote-ip"),
        *("x-cluster-client-ip", "fly-client-ip", "fastly-client-ip", "do-connecting-ip", "x-appengine-user-ip"),
        *("x-proxyuser-ip", "proxy-client-ip", "wl-proxy-client-ip", "x-originating-ip"),
    )
)
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP literal, with or without brackets; a mapped IPv4 address as what it is."""
    try:
        found = ipaddress.ip_address(text.strip("[]").split("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def is_loopback(text: str) -> bool:
    found = address(text)
    return found is not None and found.is_loopback


def is_proxied(headers: Iterable[str]) -> bool:
    """Whether any header is one that proxies add, whatever its value: the peer is then not the client."""
    return any(name.startswith(_PROXY_PREFIXES) or name in _PROXY_MARKS for name in map(str.lower, headers))


def host_allowed(host: str, bound: str, local_address: str, extra: Iterable[str]) -> bool:
    """`bound` is the address of the setting, `local_address` the one that this connection came in on."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match["name"].lower().rstrip(".")
    if name in {entry.lower() for entry in extra} or "*" in extra:
        return True
    literal = address(name)
    if literal is not None:
        if literal.is_loopback or literal.is_unspecified:
            return True
        if is_loopback(bound):
            return False
        return literal.is_private or literal.is_link_local or literal == address(local_address)
    return name == "localhost" or name.endswith(_LOCAL_SUFFIXES) or name in _own_names()


def origin_allowed(origin: str, allowed: Iterable[str]) -> bool:
    """`localhost` in the list stands for pages of this machine and for desktop applications; `*` for any page."""
    if origin == "null" or len(origin) > 512:
        return False
    for entry in allowed:
        if entry in ("*", origin):
            return True
        if entry == "localhost" and (_is_local_page(origin) or origin.startswith(_APP_SCHEMES)):
            return True
        if entry.endswith(":*") and re.fullmatch(re.escape(entry[:-2]) + r"(:[0-9]{1,5})?", origin):
            return True
    return False


def same_origin(origin: str, host: str) -> bool:
    """Whether a page's origin is this server under the name in the request's Host header, be it behind a proxy that
    speaks TLS."""
    scheme, _, netloc = origin.partition("://")
    return scheme in ("http", "https") and netloc.lower() == host.strip().lower() != ""


def _is_local_page(origin: str) -> bool:
    parts = urlsplit(origin) if origin.isascii() and origin.isprintable() else None
    if parts is None or parts.scheme not in ("http", "https") or parts.path or parts.query or parts.fragment:
        return False
    match = _HOST.fullmatch(parts.netloc)
    return match is not None and match["name"].lower() in LOCAL_NAMES


@lru_cache(maxsize=1)
def _own_names() -> frozenset[str]:
    name = socket.gethostname().lower()
    return frozenset({name, name.split(".")[0]} - {""})
