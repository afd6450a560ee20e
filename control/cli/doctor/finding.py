"""One thing that doctor found, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """`problem`: something does not work; `warning`: it works badly or may soon not work; `note`: good to know. Only
    these have a remedy."""

    level: Level
    subject: str
    text: str
    remedy: str | None = None
