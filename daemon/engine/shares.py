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
GRAPH_BYTES = 5 << 20
FEWEST_GRAPHS = 32
MOST_GRAPHS = 400
MAC_LEAST = 3 << 30
MAC_MOST = 32 << 30
POOL_SHARE = 1 / 8
LARGEST_POOL = 2 << 30
TIGHT_POOL = 64 << 20
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

    A quarter of the host's memory is the system's, 2 GiB at least but never more than half of it. Metal's memory is the
    host's, whose screen and programs need 3 GiB at least and 32 GiB at most, and its own recommendation (two thirds of
    small Macs, three quarters and more of large ones; more with `iogpu.wired_limit_mb`) counts where it is less. An
    NVIDIA GPU keeps a twentieth, 1 GiB at least.
    """
    if backend == "cuda":
        return device - _reserve(device, GPU_SHARE, GPU_LEAST)
    if backend == "metal":
        return min(host - min(MAC_MOST, _reserve(host, SYSTEM_SHARE, MAC_LEAST)), device or host)
    return host - _reserve(host, SYSTEM_SHARE, SYSTEM_LEAST)


def graph_bytes(device: int) -> int:
    """What CUDA graphs may take of an NVIDIA GPU with so much memory: half of what is nobody's there."""
    return _reserve(device, GPU_SHARE, GPU_LEAST) // 2


def kept_graphs(device: int) -> int:
    """How many of them MLX may keep.

    One of some 90 operations took 4.9 MB of an H200 with driver 580 (and 1.35 MB of the host), which counts nowhere in
    MLX; MLX itself keeps 400, whatever the device.
    """
    return min(MOST_GRAPHS, max(FEWEST_GRAPHS, graph_bytes(device) // GRAPH_BYTES))


@dataclass(frozen=True)
class Buffers:
    """What a device gives memory in: whole pages of so many bytes, in `most` buffers; None: in any number."""

    page: int = 1
    most: int | None = None


def _reserve(memory: int, share: float, least: int) -> int:
    return min(memory // 2, max(least, int(memory * share)))


@dataclass(frozen=True)
class Division:
    """What is left of a share beside the weights: `pool` for MLX's free buffers, `caches` for keys and values."""

    pool: int
    caches: int


def divide(memory: int, weights: int, *, tight: bool = False) -> Division:
    """Room for what a step computes is taken off first. Where memory is `tight` the pool is what a small step needs:
    without any, each operation would ask the system for its memory."""
    left = int(max(0, memory - weights) * (1 - STEP_SHARE))
    pool = min(LARGEST_POOL, int(left * POOL_SHARE))
    if tight:
        return Division(min(TIGHT_POOL, pool), left - pool)
    return Division(pool, left - pool)
