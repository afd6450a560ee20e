"""The device that MLX computes on: its backend, its name, and the memory that models may use."""

from __future__ import annotations

import os
from typing import Any, Literal

from ..protocol import PROTOCOL, Hello

SHARE_OF_HOST_MEMORY = 0.75


def describe(mx: Any, notes: tuple[str, ...]) -> Hello:
    """The first frame. Memory in bytes: what Metal recommends, all of an NVIDIA GPU, three quarters of a CPU's RAM."""
    info = mx.device_info()
    on_gpu = mx.default_device() == mx.Device(mx.DeviceType.gpu)
    backend: Literal["metal", "cuda", "cpu"] = "metal" if mx.metal.is_available() else "cuda" if on_gpu else "cpu"
    host = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * SHARE_OF_HOST_MEMORY)
    memory = (
        info.get("max_recommended_working_set_size")
        or (info.get("total_memory") if backend == "cuda" else None)
        or host
    )
    return Hello(
        protocol=PROTOCOL,
        pid=os.getpid(),
        backend=backend,
        device=str(info.get("device_name", backend)),
        device_memory=int(memory),
        notes=notes,
    )
