"""How private an address is, whichever way it is written."""

from __future__ import annotations

import pytest

from mlx_serve.store.hub.address_scope import GLOBAL, LOOPBACK, PRIVATE, UNROUTABLE, scope_of


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        ("1.1.1.1", GLOBAL),
        ("2606:4700::1111", GLOBAL),
        ("10.0.0.1", PRIVATE),
        ("172.16.0.1", PRIVATE),
        ("192.168.1.1", PRIVATE),
        ("100.64.0.1", PRIVATE),
        ("198.18.0.1", PRIVATE),
        ("240.0.0.1", PRIVATE),
        ("255.255.255.255", PRIVATE),
        ("0.1.2.3", PRIVATE),
        ("fd00::1", PRIVATE),
        ("fec0::1", PRIVATE),
        ("2001:db8::1", PRIVATE),
        ("127.0.0.1", LOOPBACK),
        ("127.9.9.9", LOOPBACK),
        ("::1", LOOPBACK),
        ("169.254.169.254", UNROUTABLE),
        ("fe80::1%eth0", UNROUTABLE),
        ("224.0.0.1", UNROUTABLE),
        ("ff02::1", UNROUTABLE),
        ("0.0.0.0", UNROUTABLE),
        ("::", UNROUTABLE),
    ],
)
def test_how_far_inside_an_address_lies(address: str, scope: int) -> None:
    assert scope_of(address) == scope


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        ("::ffff:1.1.1.1", GLOBAL),
        ("::ffff:127.0.0.1", LOOPBACK),
        ("::ffff:10.0.0.1", PRIVATE),
        ("::ffff:a9fe:a9fe", UNROUTABLE),
        ("64:ff9b::1.1.1.1", GLOBAL),
        ("64:ff9b::10.0.0.1", PRIVATE),
        ("64:ff9b::169.254.169.254", UNROUTABLE),
        ("64:ff9b:1::1.1.1.1", PRIVATE),
        ("2002:101:101::1", GLOBAL),
        ("2002:a00:1::1", PRIVATE),
        ("2002:7f00:1::", LOOPBACK),
        ("2002:a9fe:a9fe::1", UNROUTABLE),
        ("::1.1.1.1", PRIVATE),
        ("::127.0.0.1", LOOPBACK),
        ("::ffff:0:127.0.0.1", LOOPBACK),
        ("2001:0:101:101::1", PRIVATE),
    ],
)
def test_an_address_in_an_address_counts(address: str, scope: int) -> None:
    """IPv4-mapped, NAT64, 6to4 and the like: what is reached is the IPv4 address inside."""
    assert scope_of(address) == scope


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match="example"):
        scope_of("example.com")
