"""How much memory processes hold, in bytes, from the system; 0 for a process that is gone.

On macOS the size that counts is the footprint, which Activity Monitor shows as Memory: it includes what Metal holds for
a process and what the system has compressed, and both are missing from the resident size.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import psutil

_RUSAGE_INFO_V0 = 0
_PHYS_FOOTPRINT = 9
_PPID_ONLY = 6
_MOST_CHILDREN = 1024


class ProcessMemory(Protocol):
    """What a system tells. `whole` is what its own tools show of one process; `private` leaves out what the process
    shares with others, `part` counts that in part."""

    def whole(self, pid: int) -> int: ...
    def private(self, pid: int) -> int: ...
    def part(self, pid: int) -> int: ...
    def children(self, pid: int) -> list[int]:
        """The pids of its children, theirs, and so on."""


@cache
def system() -> ProcessMemory:
    return Footprints(ctypes.CDLL(None)) if sys.platform == "darwin" else ResidentSizes()


def family(pid: int) -> int:
    """What a process and those it started hold together."""
    memory = system()
    return memory.private(pid) + sum(memory.part(child) for child in memory.children(pid))


class ResidentSizes:
    """Linux. A look at children reads the state of every process of the machine, and `part` walks a process's
    mappings: milliseconds."""

    def whole(self, pid: int) -> int:
        return self._read(pid, lambda process: process.memory_info().rss)

    def private(self, pid: int) -> int:
        def read(process: psutil.Process) -> int:
            memory = process.memory_info()
            return int(memory.rss - getattr(memory, "shared", 0))

        return self._read(pid, read)

    def part(self, pid: int) -> int:
        def read(process: psutil.Process) -> int:
            memory = process.memory_full_info()
            return int(getattr(memory, "pss", memory.uss))

        return self._read(pid, read)

    def children(self, pid: int) -> list[int]:
        import psutil

        try:
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        except psutil.Error:
            return []

    def _read(self, pid: int, read: Any) -> int:
        import psutil  # not before it is needed: 10 ms

        try:
            return int(read(psutil.Process(pid)))
        except psutil.Error:
            return 0


class Footprints:
    """macOS, by libproc (`libproc.h`, `sys/resource.h`, `sys/proc_info.h`); `library` is libSystem."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def whole(self, pid: int) -> int:
        """`ri_phys_footprint` of `struct rusage_info_v0`: behind a UUID of 16 bytes and seven 64-bit counters."""
        usage = (ctypes.c_uint64 * 12)()
        failed = self._library.proc_pid_rusage(ctypes.c_int(pid), ctypes.c_int(_RUSAGE_INFO_V0), ctypes.byref(usage))
        return 0 if failed else usage[_PHYS_FOOTPRINT]

    private = part = whole  # a footprint leaves out what is merely mapped, such as libraries

    def children(self, pid: int) -> list[int]:
        found: list[int] = []
        waiting = [pid]
        while waiting:
            direct = self._direct(waiting.pop())
            found += direct
            waiting += direct
        return found

    def _direct(self, pid: int) -> list[int]:
        """`proc_listpids` gives the count of the bytes that it has written."""
        pids = (ctypes.c_int * _MOST_CHILDREN)()
        kind, parent, size = ctypes.c_uint32(_PPID_ONLY), ctypes.c_uint32(pid), ctypes.c_int(ctypes.sizeof(pids))
        written = self._library.proc_listpids(kind, parent, ctypes.byref(pids), size)
        return [child for child in pids[: max(0, written) // ctypes.sizeof(ctypes.c_int)] if child > 0]
