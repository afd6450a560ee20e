"""Which models failed to load lately, so that a broken one is not tried again by every request."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..errors import LoadError

BACKOFF_SECONDS = (0.0, 1.0, 5.0, 30.0)
REFUSED_SECONDS = 5.0


@dataclass
class LoadFailure:
    reason: str
    deaths: int
    until: float


class Failures:
    """By digest. A process that died while loading is tried again at once, then after 1, 5 and 30 s; files that were
    refused, after REFUSED_SECONDS."""

    def __init__(self) -> None:
        self._by_digest: dict[str, LoadFailure] = {}

    def check(self, digest: str, name: str) -> None:
        """Raises LoadError while the model is held back."""
        failure = self._by_digest.get(digest)
        if failure is None:
            return
        left = failure.until - time.monotonic()
        if left > 0:
            raise LoadError(name, failure.reason, retry_after=max(1, round(left)))

    def died(self, digest: str, cause: str) -> None:
        before = self._by_digest.get(digest)
        deaths = (before.deaths if before else 0) + 1
        wait = BACKOFF_SECONDS[min(deaths - 1, len(BACKOFF_SECONDS) - 1)]
        times = "once" if deaths == 1 else f"{deaths} times"
        reason = f"its process ended while loading, {times} in a row, last with {cause}"
        self._by_digest[digest] = LoadFailure(reason, deaths, time.monotonic() + wait)

    def refused(self, digest: str, reason: str) -> None:
        self._by_digest[digest] = LoadFailure(reason, 0, time.monotonic() + REFUSED_SECONDS)

    def forget(self, digest: str) -> None:
        self._by_digest.pop(digest, None)
