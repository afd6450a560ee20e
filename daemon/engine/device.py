"""The device that MLX computes on: its backend, its name, and the memory that models may use."""

from __future__ import annotations

import os
from typing import Literal

import mlx.core as mx
from mlx_lm.utils import maybe_set_recommended_wired_limit

from ..protocol import PROTOCOL, Hello

SHARE_OF_HOST_MEMORY = 0.75
SHARE_OF_POOL = 1 / 16
SMALLEST_POOL = 512 << 20


def backend() -> Literal["metal", "cuda", "cpu"]:
    """What MLX computes with in this process."""
    if mx.default_device() != mx.Device(mx.DeviceType.gpu):
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def describe(notes: tuple[str, ...]) -> Hello:
    """The first frame. Memory in bytes: what Metal recommends, all of an NVIDIA GPU, three quarters of a CPU's RAM."""
    info = mx.device_info()
    found = backend()
    host = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * SHARE_OF_HOST_MEMORY)
    memory = info.get("max_recommended_working_set_size") or (info.get("total_memory") if found == "cuda" else None)
    return Hello(
        protocol=PROTOCOL,
        pid=os.getpid(),
        backend=found,
        device=str(info.get("device_name", found)),
        device_memory=int(memory or host),
        notes=notes,
    )


def bound_pools(memory: int) -> None:
    """Bound MLX's pool of free buffers, which by default may grow to all memory and look like a leak; let Metal keep
    weights resident, as mlx-lm does for generation."""
    mx.set_cache_limit(max(SMALLEST_POOL, int(memory * SHARE_OF_POOL)))
    maybe_set_recommended_wired_limit()
