"""How long a download waits, for what, and when it gives up. Knows no socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """`tries`: in a row without progress. Pauses between them grow fourfold; all times in seconds.

    A line that brings less than `slowest` bytes a second over `window` is hung up. `rate_wait`: how long a pull waits
    in all when the hub limits the rate of requests.
    """

    tries: int = 5
    first_pause: float = 0.5
    longest_pause: float = 20.0
    window: float = 30.0
    slowest: int = 1024
    rate_wait: float = 60.0
    unsaid_rate_pause: float = 5.0
    connect: float = 10.0

    def pause(self, failures: int) -> float:
        """Before the next try, after so many failures in a row."""
        return min(self.longest_pause, self.first_pause * 4.0 ** (failures - 1)) if failures > 0 else 0.0


USUAL = Patience()


class Stopped(Exception):
    """Nobody wants the bytes of this stream any more."""


class Lost(Exception):
    """The connection failed or went quiet; `str()` says how in a few words."""


class Waits:
    """How long a stream has waited for its line so far; what it does not wait for it does itself."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._told = 0.0

    def since(self) -> float:
        """Seconds since the last time that this was asked."""
        before, self._told = self._told, self.seconds
        return self._told - before


class Watch:
    """What a stream heeds whenever it waits: that it shall end, and that its line has gone quiet."""

    def __init__(self, stopped: Callable[[], bool], patience: Patience, waits: Waits) -> None:
        self._stopped = stopped
        self.waits = waits
        self._patience = patience
        self._received = 0
        self._deadline = time.monotonic() + patience.window

    def received(self, count: int) -> None:
        self._received += count

    def heed(self) -> None:
        """Raises Stopped or Lost."""
        if self._stopped():
            raise Stopped
        now = time.monotonic()
        if now >= self._deadline:
            if self._received < self._patience.slowest * self._patience.window:
                raise Lost(f"no data came for {self._patience.window:.0f} s")
            self._received = 0
            self._deadline = now + self._patience.window
