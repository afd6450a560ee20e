"""How many cores this process may use: those of the machine, less what its system keeps from it.

A container with `--cpus 2` sees all cores of its machine, and is stopped for the rest of each tenth of a second when
more than two of its threads compute (Linux, "CFS Bandwidth Control"; `cpu.max` of cgroup v2).
"""

from __future__ import annotations

import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
QUOTA_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def usable() -> int:
    """At least one."""
    machine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = quota()
    return machine if share is None else max(1, min(machine, int(share)))


def quota(file: Path = QUOTA, files_v1: tuple[Path, Path] = QUOTA_V1) -> float | None:
    """Cores' worth of time that this container may have; None where there is no such limit."""
    for paths in ((file,), files_v1):
        try:
            most, period = (float(field) for path in paths for field in path.read_text().split())
        except (OSError, ValueError):  # not there, or "max"
            continue
        if most > 0 and period > 0:  # -1 is no limit
            return most / period
    return None
