"""The progress of a pull, one value per event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """`completed` of `total` bytes of one file (`path`), or of the whole pull where `path` is None.

    `digest` ("sha256:<hex>") is known once the file is stored, or earlier where the hub states it. `overall_completed`
    of `overall_total` bytes of all files are on every event of a pull of known size; `fetched` bytes were downloaded so
    far.
    """

    status: str
    digest: str | None = None
    path: str | None = None
    completed: int = 0
    total: int = 0
    overall_completed: int = 0
    overall_total: int = 0
    fetched: int = 0


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """A report that does nothing."""
