"""The last run of each kind on this machine, kept in the home folder, and how a new one compares."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FORM = 1
"""Of the file; one of another form is as good as none."""


def path(home: Path, digest: str, prompt: int, tokens: int) -> Path:
    """Runs compare when model and lengths are the same."""
    return home / "bench" / f"{digest.removeprefix('sha256:')[:16]}-{prompt}-{tokens}.json"


def read(file: Path) -> dict[str, Any] | None:
    """None where there is none that can be read."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("form") == FORM else None


def write(file: Path, run: dict[str, Any], before: dict[str, Any] | None) -> None:
    """Levels that this run left out are kept from the one before. In one step. Raises OSError."""
    kept = {str(row["streams"]): row for row in (before or {}).get("levels", [])}
    kept |= {str(row["streams"]): row for row in run["levels"]}
    levels = sorted(kept.values(), key=lambda row: int(row["streams"]))
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
        json.dump({"form": FORM, **run, "levels": levels}, handle)
    beside.replace(file)


def level_of(run: dict[str, Any] | None, streams: int) -> dict[str, Any] | None:
    return next((row for row in (run or {}).get("levels", []) if row["streams"] == streams), None)


def change(now: float, before: float | None) -> str:
    """`+12 %`; empty where there was nothing."""
    if not before:
        return ""
    percent = round(100 * (now / before - 1))
    return f"{percent:+d} %" if percent else "same"
