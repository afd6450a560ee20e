"""How late a wrong key is answered, for whom, and that a flood of them holds and remembers only so much."""

from __future__ import annotations

import asyncio

from mlx_serve.handlers.guard import throttle
from mlx_serve.handlers.guard.throttle import Throttle


class Time:
    """A clock that is set, and sleepers that wait until they are let go."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[float] = []
        self.go = asyncio.Event()

    def throttle(self) -> Throttle:
        return Throttle(lambda: self.now, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.go.wait()


async def test_each_wrong_key_waits_twice_as_long_up_to_a_limit_and_is_forgotten_after_a_minute() -> None:
    time = Time()
    time.go.set()
    under_test = time.throttle()
    for _ in range(8):
        await under_test.failed("203.0.113.9")
    assert time.asked == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 3.2, 3.2]
    for _ in range(5000):
        await under_test.failed("203.0.113.9")
    assert time.asked[-1] == 3.2
    time.now += throttle.EXPIRY_SECONDS + 1
    await under_test.failed("203.0.113.9")
    assert time.asked[-1] == 0.1


async def test_addresses_do_not_pay_for_each_other_but_one_network_of_ipv6_is_one_address() -> None:
    time = Time()
    time.go.set()
    under_test = time.throttle()
    for client in ("203.0.113.9", "203.0.113.10", "2001:db8::1", "2001:db8::ffff", "::ffff:203.0.113.9", "odd"):
        await under_test.failed(client)
    assert time.asked == [0.1, 0.1, 0.1, 0.2, 0.2, 0.1]


async def test_a_flood_holds_a_bounded_number_of_requests() -> None:
    """Of one address and of many; when they have waited, there is room again."""
    time = Time()
    under_test = time.throttle()
    one = [asyncio.create_task(under_test.failed("203.0.113.9")) for _ in range(100)]
    many = [asyncio.create_task(under_test.failed(f"10.0.{n // 250}.{n % 250}")) for n in range(1000)]
    await asyncio.sleep(0)
    assert sum(not task.done() for task in one) == throttle.WAITING_OF_ONE
    assert sum(not task.done() for task in one + many) == len(time.asked) == throttle.WAITING
    for task in one:
        task.cancel()
    await asyncio.wait(one)
    time.go.set()
    await asyncio.gather(*many)
    before = len(time.asked)
    await under_test.failed("203.0.113.9")
    assert len(time.asked) == before + 1, "a request that hung up while it waited has left its place"


async def test_a_bounded_number_of_addresses_is_remembered_the_oldest_goes_first() -> None:
    time = Time()
    time.go.set()
    under_test = time.throttle()
    for number in range(throttle.ADDRESSES + 50):
        await under_test.failed(f"10.1.{number // 250}.{number % 250}")
    assert under_test.remembered == throttle.ADDRESSES
    await under_test.failed("10.1.4.73")
    await under_test.failed("10.1.0.0")
    assert time.asked[-2:] == [0.2, 0.1]
