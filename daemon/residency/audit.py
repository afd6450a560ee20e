"""Whether the daemon's counts agree when no request is open: what should be nothing then is nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from .slot import Slot

LOG = logging.getLogger("mlx_serve.residency")


@dataclass(frozen=True)
class Counts:
    """`loads`: explicit ones, which hold leases without a request; `sinks`: pieces of work that models' processes know
    of; `shares` and `limit` in bytes, `limit` 0 before there was a model."""

    leases: int
    loads: int
    sinks: int
    shares: int
    limit: int

    @property
    def agree(self) -> bool:
        return self.leases == self.loads and self.sinks == 0 and self.shares <= self.limit


def count(slots: Iterable[Slot], loads: int, limit: int) -> Counts:
    slots = list(slots)
    return Counts(
        leases=sum(slot.leases + slot.successors for slot in slots),
        loads=loads,
        sinks=sum(slot.runner.busy for slot in slots if slot.runner is not None),
        shares=sum(slot.share for slot in slots),
        limit=limit,
    )


class Audit:
    """Logs the first disagreement; the next ones would be its consequences."""

    def __init__(self) -> None:
        self._failed = False

    def check(self, counts: Counts) -> None:
        if counts.agree or self._failed:
            return
        self._failed = True
        LOG.error(
            "fail audit leases=%d loads=%d sinks=%d shares=%d limit=%d",
            counts.leases,
            counts.loads,
            counts.sinks,
            counts.shares,
            counts.limit,
        )
