"""How short of memory this machine is, as its system says, and what its owner has allowed the GPU. Knows no models.

macOS: `kern.memorystatus_vm_pressure_level`, which is 1, 2 or 4 (XNU, kern_memorystatus_notify.c). Linux has no such
word; what could be given out without swapping stands for it (MemAvailable, or what a container has left).
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any, Literal

Level = Literal["normal", "warning", "critical"]

LEVELS: tuple[Level, ...] = ("normal", "warning", "critical")
WARNING_SHARE, WARNING_MOST = 1 / 16, 2 << 30
CRITICAL_SHARE, CRITICAL_MOST = 1 / 32, 1 << 30
_MAC: dict[int | None, Level] = {1: "normal", 2: "warning", 4: "critical"}


def level() -> Level:
    """The level now; `normal` where the system does not say. Takes microseconds."""
    if sys.platform == "darwin":
        return _MAC.get(sysctl(b"kern.memorystatus_vm_pressure_level"), "normal")
    found = available(Path("/proc/meminfo"), Path("/sys/fs/cgroup"))
    return "normal" if found is None else judged(*found)


def judged(free: int, total: int) -> Level:
    """What so many free bytes of so many are. The shares have a most, for a large machine is not short of memory as
    long as a few GiB are left."""
    if free < min(CRITICAL_MOST, total * CRITICAL_SHARE):
        return "critical"
    return "warning" if free < min(WARNING_MOST, total * WARNING_SHARE) else "normal"


def available(meminfo: Path, group: Path) -> tuple[int, int] | None:
    """Bytes that could still be given out, and of how many: the machine's, or those of this process's container where
    fewer are left of them. None where the system does not say."""
    host = _fields(meminfo, 1024)
    if "MemAvailable" not in host or not host.get("MemTotal"):
        return None
    found = [(host["MemAvailable"], host["MemTotal"])]
    most, used = _number(group / "memory.max"), _number(group / "memory.current")
    if most and used is not None:
        cached = _fields(group / "memory.stat", 1).get("inactive_file", 0)
        found.append((max(0, most - used + cached), most))
    return min(found)


def gpu_limit() -> int | None:
    """Bytes that `iogpu.wired_limit_mb` allows the GPU on a Mac; None where it is left at macOS' own choice."""
    megabytes = sysctl(b"iogpu.wired_limit_mb") if sys.platform == "darwin" else None
    return megabytes << 20 if megabytes else None


def sysctl(name: bytes, library: Any = None) -> int | None:
    """A number of macOS' kernel, None when it has none of that name. `library`: the C library, for tests."""
    value, size = ctypes.c_int64(0), ctypes.c_size_t(8)  # a 32-bit number fills the lower half
    try:
        library = library or ctypes.CDLL(None)
        done = library.sysctlbyname(name, ctypes.byref(value), ctypes.byref(size), None, 0)
    except (OSError, AttributeError):
        return None
    return value.value if done == 0 else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" is no number
        return None


def _fields(path: Path, unit: int) -> dict[str, int]:
    """The lines `name: number` or `name number` of a file; {} when it cannot be read."""
    try:
        lines = [line.replace(":", " ").split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) * unit for line in lines if len(line) > 1 and line[1].isdigit()}
