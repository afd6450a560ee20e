"""How long a connection may take for what, and how much of it there may be."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class ConnectionLimits:
    """Seconds, except for `connections` (how many at once) and `body_in_flight` (bytes of bodies not yet complete)."""

    head_seconds: float = 10.0
    body_seconds: float = 60.0
    body_seconds_per_mib: float = 1.0
    idle_seconds: float = 75.0
    write_seconds: float = 35.0
    linger_seconds: float = 2.0
    connections: int = 4096
    body_in_flight: int = 256 * MIB


class InFlight:
    """How many bytes of unfinished bodies the process holds."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
