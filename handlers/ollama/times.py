"""Times as Ollama writes them: RFC 3339 with nanoseconds, durations in nanoseconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_FOR_EVER = datetime(2318, 1, 1, tzinfo=UTC)  # where a 64-bit count of nanoseconds from now ends
_second = (-1, "")


def now() -> str:
    """This moment in UTC."""
    global _second
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    if _second[0] != seconds:
        _second = (seconds, datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    return f"{_second[1]}.{nanoseconds:09d}Z"


def local(moment: datetime) -> str:
    return moment.astimezone().isoformat()


def expiry(unix: float | None) -> str:
    """When a model leaves memory; None: never."""
    return local(_FOR_EVER if unix is None else datetime.fromtimestamp(unix, UTC))


def nanoseconds(seconds: float) -> int:
    return max(0, int(seconds * 1e9))
