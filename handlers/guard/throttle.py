"""Delays answers to wrong keys: each further one from the same address waits longer. Knows no HTTP.

A right key never waits, whatever else comes from its address. The number of waiting requests is bounded, per address
and in total, and so is the number of addresses kept; beyond that a wrong key is answered at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 3.2
EXPIRY_SECONDS = 60.0
ADDRESSES = 1024
WAITING = 128
WAITING_OF_ONE = 8


@dataclass
class _Address:
    failures: int = 0
    latest: float = 0.0
    waiting: int = 0


class Throttle:
    """Counts wrong keys and waiting requests by address. Belongs to one event loop."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._waiting = 0

    @property
    def remembered(self) -> int:
        return len(self._addresses)

    async def failed(self, client: str) -> None:
        """Count a wrong key and wait before it is answered."""
        address = self._address(_network(client))
        delay = self._delay(address)
        if self._waiting >= WAITING or address.waiting >= WAITING_OF_ONE:
            return
        self._waiting += 1
        address.waiting += 1
        try:
            await self._sleep(delay)
        finally:
            self._waiting -= 1
            address.waiting -= 1

    def _address(self, network: str) -> _Address:
        address = self._addresses.setdefault(network, _Address())
        self._addresses.move_to_end(network)
        if len(self._addresses) > ADDRESSES:
            self._addresses.popitem(last=False)
        return address

    def _delay(self, address: _Address) -> float:
        """In seconds: 0.1 for the first failure, doubled for each further one, up to 3.2."""
        now = self._clock()
        if now - address.latest > EXPIRY_SECONDS:
            address.failures = 0
        address.failures += 1
        address.latest = now
        doublings = min(address.failures - 1, 16)
        return min(LONGEST_SECONDS, FIRST_SECONDS * float(2**doublings))


def _network(client: str) -> str:
    """An IPv4 address itself; of an IPv6 address its /64 network, because the owner chooses the rest."""
    try:
        found = ipaddress.ip_address(client.split("%")[0])
    except ValueError:
        return client
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
