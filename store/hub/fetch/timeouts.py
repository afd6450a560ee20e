"""How long a download waits, and when it gives up. Knows no socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """All times in seconds. `tries`: consecutive ones without progress; the pause between them grows fourfold.

    A connection that brings less than `min_rate` bytes a second over `window` is closed. `rate_wait`: the longest sum
    of pauses that a pull makes for the hub's rate limit; `default_rate_pause`: one that the hub states no time for.
    """

    tries: int = 5
    first_pause: float = 0.5
    max_pause: float = 20.0
    window: float = 30.0
    min_rate: int = 1024
    rate_wait: float = 60.0
    default_rate_pause: float = 5.0
    connect: float = 10.0

    def pause(self, failures: int) -> float:
        """The pause before the next try, after so many consecutive failures."""
        return min(self.max_pause, self.first_pause * 4.0 ** (failures - 1)) if failures > 0 else 0.0


DEFAULT = Timeouts()


class FetchStopped(Exception):
    """The download was cancelled, or the piece is no longer needed."""


class ConnectionLost(Exception):
    """The connection failed or is too slow; `str()` says how in a few words."""


class WaitTime:
    """How many seconds a thread has waited for the network so far."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._reported = 0.0

    def since(self) -> float:
        """Seconds waited since the last call."""
        before, self._reported = self._reported, self.seconds
        return self._reported - before


class Watchdog:
    """Checked while a thread waits: has it been stopped, is its connection too slow."""

    def __init__(self, stopped: Callable[[], bool], timeouts: Timeouts, wait_time: WaitTime) -> None:
        self._stopped = stopped
        self.wait_time = wait_time
        self._timeouts = timeouts
        self._received = 0
        self._deadline = time.monotonic() + timeouts.window

    def received(self, count: int) -> None:
        self._received += count

    def check(self) -> None:
        """Raises FetchStopped or ConnectionLost."""
        if self._stopped():
            raise FetchStopped
        now = time.monotonic()
        if now >= self._deadline:
            if self._received < self._timeouts.min_rate * self._timeouts.window:
                raise ConnectionLost(f"no data for {self._timeouts.window:.0f} s")
            self._received = 0
            self._deadline = now + self._timeouts.window
