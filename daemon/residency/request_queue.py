"""How many requests may wait for one model, and when a place is likely free. Plain arithmetic; nobody waits here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import QueueFull
from .slot import Slot

if TYPE_CHECKING:
    from ..settings.schema import Settings

_NEWEST = 0.1  # of the mean is the last request


@dataclass(frozen=True)
class Queue:
    """Requests that run, that wait, and how many may wait for each model."""

    running: int
    waiting: int
    limit: int


class RequestQueue:
    """What is beyond a model's batch waits, `server.max_queue` requests at most."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seconds = 1.0  # that late requests took, on the mean

    def configure(self, settings: Settings) -> None:
        self._settings = settings

    def finished(self, seconds: float) -> None:
        """A request took so long."""
        self._seconds += _NEWEST * (seconds - self._seconds)

    def check(self, slot: Slot, count: int) -> None:
        """Raises QueueFull where one more beside so many would be too many for this model."""
        if count >= self._settings.engine.max_batch + self._settings.server.max_queue:
            raise QueueFull(self._retry_after(slot))

    def _retry_after(self, slot: Slot) -> int:
        """Seconds until a place is likely free: the queue's length at the pace of late requests."""
        batch = self._settings.engine.max_batch
        ahead = max(1, slot.leases - batch)
        return max(1, min(60, math.ceil(ahead * self._seconds / batch)))

    def of(self, slots: Iterable[Slot]) -> Queue:
        """Who waits until a model is gone, and wants it again, waits too."""
        slots = list(slots)
        leases = sum(slot.leases for slot in slots)
        running = sum(min(slot.leases, self._settings.engine.max_batch) for slot in slots)
        successors = sum(slot.successors for slot in slots)
        return Queue(running, leases - running + successors, self._settings.server.max_queue)
