"""Wrong keys are answered late: the more of them an address has sent lately, the later. Knows no HTTP.

A right key never waits, whoever else guesses from its address. What waits is bounded, for one address and for all, and
so is what is remembered; a wrong key beyond that is told so at once.
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
FORGOTTEN_SECONDS = 60.0
ADDRESSES = 1024
WAITING = 128
WAITING_OF_ONE = 8


@dataclass
class _Address:
    failures: int = 0
    latest: float = 0.0
    waiting: int = 0


class Throttle:
    """Who has sent wrong keys lately, and how many of them wait for their answer. Belongs to one event loop."""

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
        """Wait for as long as this wrong key costs its sender."""
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
        """Seconds: the first failure costs 0.1, each further one twice as much, up to 3.2."""
        now = self._clock()
        if now - address.latest > FORGOTTEN_SECONDS:
            address.failures = 0
        address.failures += 1
        address.latest = now
        doublings = min(address.failures - 1, 16)
        return min(LONGEST_SECONDS, FIRST_SECONDS * float(2**doublings))


def _network(client: str) -> str:
    """An IPv4 address as it is, of an IPv6 one the 64 bits that its owner cannot choose."""
    try:
        found = ipaddress.ip_address(client.split("%")[0])
    except ValueError:
        return client
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
