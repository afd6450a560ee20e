"""How much memory one prompt may take, and how much a process has. Sizes in bytes."""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path
from typing import Any

LEAST = 256 << 20
FOR_REQUEST_BYTE = 64
FOR_TEXT_BYTE = 192
"""Measured: the `tokenizers` library takes up to 150 for each byte of a long text."""
FOR_PIXEL = 24
"""The file's pixels, those in RGB, and what is scaled from them, each as Pillow and as NumPy have it."""
FOR_KEPT_BYTE = 6
"""What a tower reads of a picture, and its copies in the frames that go out."""
_PAGE = resource.getpagesize()


def allowance(request: int, text: int = 0, pixels: int = 0, kept: int = 0) -> int:
    """For a request of so many bytes as it came, and then for a text of so many, or a picture of so many pixels beside
    those of which so many bytes are kept."""
    return LEAST + max(FOR_REQUEST_BYTE * request, FOR_TEXT_BYTE * text) + FOR_PIXEL * pixels + FOR_KEPT_BYTE * kept


class AddressSpace:
    """Bounds what this process takes beyond what it has. Only Linux honours such a bound; elsewhere the one who watches
    `resident` has to end the process."""

    def __init__(self) -> None:
        self._base = 0

    def begin(self, allowed: int) -> None:
        if sys.platform == "linux":
            self._base = int(Path("/proc/self/statm").read_bytes().split()[0]) * _PAGE
        self.allow(allowed)

    def allow(self, allowed: int) -> None:
        if sys.platform == "linux":
            resource.setrlimit(resource.RLIMIT_AS, (self._base + allowed, resource.RLIM_INFINITY))

    def lift(self) -> None:
        if sys.platform == "linux":
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def resident(pid: int) -> int:
    """What the process holds in memory; 0 where nobody can say."""
    if sys.platform == "linux":
        try:
            return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
        except (OSError, IndexError):
            return 0
    return footprint(pid, ctypes.CDLL(None))


def footprint(pid: int, library: Any) -> int:
    """`ri_phys_footprint` of libproc's `struct rusage_info_v0`: behind a UUID and seven 64-bit counters. Unlike the
    resident size it does not shrink when macOS compresses what a process has filled."""
    usage = (ctypes.c_uint64 * 12)()
    try:
        failed = library.proc_pid_rusage(ctypes.c_int(pid), ctypes.c_int(0), ctypes.byref(usage))
    except AttributeError:
        return 0
    return 0 if failed else usage[9]


def trim() -> None:
    """Give back what the allocator keeps of freed memory: of a large vocabulary's JSON, hundreds of megabytes."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
    elif hasattr(library, "malloc_zone_pressure_relief"):
        library.malloc_zone_pressure_relief(None, ctypes.c_size_t(0))
