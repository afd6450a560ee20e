"""The device that MLX computes on: its backend, its name, its memory."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Literal

import mlx.core as mx

from ..protocol import PROTOCOL, Hello
from .prompt.memory_bound import trim
from .shares import Buffers, Division, graph_bytes, host_memory, kept_graphs, usable

GPU_PAGE = 16 << 10
CHANGE = 1 / 20
"""Of a model's memory: for less nobody is told that there is more of it or less."""
GRAPHS_KEPT = "MLX_CUDA_GRAPH_CACHE_SIZE"


def backend() -> Literal["metal", "cuda", "cpu"]:
    """What MLX computes with in this process."""
    if mx.default_device() != mx.Device(mx.DeviceType.gpu):
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def describe(notes: tuple[str, ...]) -> Hello:
    """The first frame."""
    info = mx.device_info()
    found = backend()
    memory = info.get("max_recommended_working_set_size") or (info.get("total_memory") if found == "cuda" else None)
    if found == "cuda" and memory:
        bound_graphs(int(memory), os.environ)
    return Hello(
        protocol=PROTOCOL,
        pid=os.getpid(),
        backend=found,
        device=str(info.get("device_name", found)),
        device_memory=usable(found, host_memory(), int(memory or 0)),
        notes=notes,
    )


def bound_graphs(memory: int, environ: MutableMapping[str, str]) -> None:
    """Let MLX keep as many CUDA graphs as there is room for, unless the user has said how many. MLX looks when a stream
    is first used, so this comes before anything is computed."""
    environ.setdefault(GRAPHS_KEPT, str(kept_graphs(memory)))


def obtainable(memory: int) -> int:
    """Of so many bytes, what this process can have: on an NVIDIA GPU other programs may have memory too, a desktop or
    somebody's training. What is free at the moment counts, but for what graphs need, and what this process has."""
    if backend() != "cuda":
        return memory
    info = mx.device_info()
    free, total = info.get("free_memory"), info.get("total_memory")
    if free is None or total is None:
        return memory
    own = mx.get_active_memory() + mx.get_cache_memory()
    return max(0, min(memory, int(free) + own - graph_bytes(int(total))))


class MemoryShare:
    """The memory that a model was told it may have, `told` bytes, of which it can have `has`."""

    def __init__(self, told: int) -> None:
        self.told = told
        self.has = obtainable(told)

    def ask_again(self) -> bool:
        """Whether others have come or gone since, so that `has` is another number now."""
        now = obtainable(self.told)
        if abs(now - self.has) <= self.has * CHANGE:
            return False
        self.has = now
        return True


def kept_buffers() -> Buffers:
    """What is kept of prompts may have half of the buffers that a process can have on Metal (499,000): past that MLX
    has no memory for anybody, and short prompts to a small model, with two buffers a layer each, are there long before
    memory is full. On a processor memory comes in any size; MLX takes whole pages of a GPU's (by MLX 0.32.4)."""
    most = mx.device_info().get("resource_limit") if backend() == "metal" else None
    return Buffers(GPU_PAGE if backend() != "cpu" else 1, None if most is None else int(most) // 2)


def out_of_memory(error: Exception) -> bool:
    """Whether MLX says that the memory is full. An illegal access to it is something else: nothing can go on then."""
    if isinstance(error, RuntimeError):
        return any(words in str(error).lower() for words in ("alloc", "out of memory", "insufficient memory"))
    return isinstance(error, MemoryError)


def bound_memory(memory: int) -> None:
    """On CUDA, let MLX wait for what is being computed when it holds so many bytes; by default it may take all that the
    device has. Whatever an operation is given stays until many of them are computed: unpacked weights took 16 GB beside
    a model of 4 while 2,048 tokens of a prompt were read, and with room for 2 it took as long."""
    if backend() == "cuda":
        mx.set_memory_limit(memory)


def bound_pool(division: Division) -> None:
    """Bound MLX's pool of free buffers, which by default may grow to all memory; whatever is in it now goes, so that a
    smaller bound holds at once."""
    mx.clear_cache()
    mx.set_cache_limit(division.pool)


def release_pool() -> None:
    """Give the pool of free buffers back to the system; glibc keeps much of what is freed until it is asked."""
    mx.clear_cache()
    trim()


def wire(limit: int) -> None:
    """Let Metal keep so many bytes resident. Called once, while nothing is computed: with wired memory near Metal's own
    recommendation, or with limits that change while steps run, macOS has panicked (MLX's issue 3186).

    In 0.32.4 nothing is wired until this is called. It then puts the buffers that there are, and later ones as they
    are made, into residency sets as long as they fit, whatever they are for: so the free ones go first, and the limit
    is the weights' size at most, which they fill. More than Metal recommends is refused. Before macOS 15 there are no
    such sets and this does nothing.
    """
    if limit and backend() == "metal":
        mx.synchronize()
        mx.clear_cache()
        most = mx.device_info().get("max_recommended_working_set_size")
        mx.set_wired_limit(min(limit, int(most)) if most else limit)
