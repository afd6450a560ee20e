"""How private an IP address is, and what an IPv6 address that carries an IPv4 one leads to."""

from __future__ import annotations

import ipaddress

GLOBAL, PRIVATE, LOOPBACK, UNROUTABLE = range(4)
"""From the internet's addresses to link-local, multicast and unspecified ones: the more, the more private."""

# IPv6 networks whose addresses stand for an IPv4 address, how far right it ends, and how private they are themselves.
_CARRIERS = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0, GLOBAL),  # IPv4-mapped, RFC 4291
    (ipaddress.IPv6Network("::/96"), 0, PRIVATE),  # IPv4-compatible, RFC 4291
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0, PRIVATE),  # IPv4-translated, RFC 2765
    (ipaddress.IPv6Network("64:ff9b::/96"), 0, GLOBAL),  # NAT64, RFC 6052
    (ipaddress.IPv6Network("64:ff9b:1::/48"), 0, PRIVATE),  # local NAT64, RFC 8215
    (ipaddress.IPv6Network("2002::/16"), 80, GLOBAL),  # 6to4, RFC 3056
    (ipaddress.IPv6Network("2001::/32"), 0, PRIVATE),  # Teredo, RFC 4380
)


def scope_of(address: str) -> int:
    """GLOBAL, PRIVATE (shared by carriers and reserved too), LOOPBACK or UNROUTABLE. Raises ValueError for a text that
    is no IP address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and not ip.is_loopback and not ip.is_unspecified:
        for network, shift, least in _CARRIERS:
            if ip in network:
                return max(least, _plain(ipaddress.IPv4Address(int(ip) >> shift & 0xFFFFFFFF)))
        if ip.is_site_local:
            return PRIVATE
    return _plain(ip)


def _plain(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    if ip.is_loopback:
        return LOOPBACK
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return UNROUTABLE
    return GLOBAL if ip.is_global else PRIVATE
