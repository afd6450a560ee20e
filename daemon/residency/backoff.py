"""Which models failed lately, so that a broken one is not loaded again by every request."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field

from ..errors import LoadError, Quarantined, UnsupportedByModel

BACKOFF_SECONDS = (0.0, 1.0, 5.0, 30.0)
REFUSED_SECONDS = 5.0
DEATHS = 3
WINDOW_SECONDS = 600.0
QUARANTINE_SECONDS = 600.0
LONGEST_QUARANTINE_SECONDS = 3600.0
FORGET_SECONDS = 3600.0


@dataclass(frozen=True)
class Quarantine:
    """A model that is not loaded until then (Unix seconds), and why; `deaths` counts all since it was last well."""

    name: str
    digest: str
    reason: str
    deaths: int
    until: float


@dataclass
class _Record:
    """Of one model. `deaths` are times; until `held_until` it is not loaded; `quarantines` counts those in a row."""

    name: str
    reason: str = ""
    deaths: list[float] = field(default_factory=list)
    held_until: float = 0.0
    quarantines: int = 0
    quarantined: bool = False
    refused: LoadError | None = None


class Failures:
    """By digest.

    A process that died, loading or serving, is started again at once, then after 1, 5 and 30 s. DEATHS within
    WINDOW_SECONDS put the model into quarantine for QUARANTINE_SECONDS, doubled each time up to the longest; one more
    death in the hour after it does so too. An hour without a death forgets all. Files that were refused are held back
    for REFUSED_SECONDS; a model that this version does not support, until it is loaded explicitly.
    """

    def __init__(self) -> None:
        self._by_digest: dict[str, _Record] = {}
        self.deaths: Counter[str] = Counter()
        self.restarts: Counter[str] = Counter()
        self._ended: set[str] = set()

    def check(self, digest: str, name: str) -> None:
        """Raises Quarantined, LoadError or UnsupportedByModel while the model is held back."""
        record = self._by_digest.get(digest)
        if record is None or (left := record.held_until - time.monotonic()) <= 0:
            return
        if isinstance(record.refused, UnsupportedByModel):
            raise UnsupportedByModel(name, record.reason)
        seconds = max(1, math.ceil(left))
        if record.quarantined:
            raise Quarantined(name, record.reason, retry_after=seconds)
        raise LoadError(name, record.reason, retry_after=seconds)

    def died(self, digest: str, name: str, cause: str, *, loading: bool) -> None:
        now = time.monotonic()
        record = self._by_digest.setdefault(digest, _Record(name))
        if record.deaths and now - max(record.deaths[-1], record.held_until) > FORGET_SECONDS:
            record = self._by_digest[digest] = _Record(name)
        self.deaths[name] += 1
        self._ended.add(digest)
        record.refused = None
        record.deaths.append(now)
        count = len(record.deaths)
        where = " while loading" if loading else ""
        times = f"{count} times lately (the last time: {cause})" if count > 1 else f"({cause})"
        record.reason = f"its process ended{where} {times}"
        recent = sum(now - death <= WINDOW_SECONDS for death in record.deaths)
        record.quarantined = record.quarantines > 0 or recent >= DEATHS
        if record.quarantined:
            wait = min(LONGEST_QUARANTINE_SECONDS, QUARANTINE_SECONDS * 2**record.quarantines)
            record.quarantines += 1
        else:
            wait = BACKOFF_SECONDS[min(count - 1, len(BACKOFF_SECONDS) - 1)]
        record.held_until = now + wait

    def loaded(self, digest: str, name: str) -> None:
        """It is in memory; a restart where its last process had died."""
        if digest in self._ended:
            self._ended.discard(digest)
            self.restarts[name] += 1

    def refused(self, digest: str, error: LoadError) -> None:
        record = self._by_digest.setdefault(digest, _Record(error.model))
        record.reason, record.refused, record.quarantined = error.reason, error, False
        forever = isinstance(error, UnsupportedByModel)
        record.held_until = math.inf if forever else time.monotonic() + REFUSED_SECONDS

    def forget(self, digest: str) -> None:
        """Somebody asks for the model explicitly."""
        self._by_digest.pop(digest, None)

    def quarantined(self) -> list[Quarantine]:
        """The models in quarantine now."""
        now = time.monotonic()
        return [
            Quarantine(record.name, digest, record.reason, len(record.deaths), time.time() + record.held_until - now)
            for digest, record in self._by_digest.items()
            if record.quarantined and record.held_until > now
        ]
