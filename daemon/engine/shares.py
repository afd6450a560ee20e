"""Memory in bytes: what of a machine models may use, and what of a model's share is for what. Plain arithmetic."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SYSTEM_SHARE = 1 / 4
SYSTEM_LEAST = 2 << 30
GPU_SHARE = 1 / 20
GPU_LEAST = 1 << 30
POOL_SHARE = 1 / 8
LARGEST_POOL = 2 << 30
STEP_SHARE = 0.1
_CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def host_memory() -> int:
    """What this machine has, or what the container allows where that is less."""
    physical = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CGROUPS:
        try:
            return min(physical, int(path.read_text()))
        except (OSError, ValueError):
            continue
    return physical


def usable(backend: Literal["metal", "cuda", "cpu"], host: int, device: int) -> int:
    """What all models together may use where no limit is configured.

    A quarter of the host's memory is the system's, 2 GiB at least but never more than half of it; Metal's memory is the
    host's, and its own recommendation counts where it is less. An NVIDIA GPU keeps a twentieth, 1 GiB at least.
    """
    if backend == "cuda":
        return device - _reserve(device, GPU_SHARE, GPU_LEAST)
    free = host - _reserve(host, SYSTEM_SHARE, SYSTEM_LEAST)
    return min(free, device) if device else free


def _reserve(memory: int, share: float, least: int) -> int:
    return min(memory // 2, max(least, int(memory * share)))


@dataclass(frozen=True)
class Division:
    """What is left of a share beside the weights: `pool` for MLX's free buffers, `caches` for keys and values."""

    pool: int
    caches: int


def divide(memory: int, weights: int) -> Division:
    """Room for what a step computes is taken off first."""
    left = int(max(0, memory - weights) * (1 - STEP_SHARE))
    pool = min(LARGEST_POOL, int(left * POOL_SHARE))
    return Division(pool, left - pool)
