"""What the system says about memory: macOS' vm_stat, pressure and footprints; on Linux what stands for them. Bytes."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

_RUSAGE_INFO_V0 = 0


@dataclass(frozen=True)
class Sample:
    wired: int
    """Memory that cannot be paged out: of the kernel and of the GPU."""
    free: int
    pressure: int
    """1 normal, 2 warning, 4 critical, as `kern.memorystatus_vm_pressure_level`; 0 where nobody says."""
    held: int
    """The footprints of the daemon and its children together."""


def wired_and_free(text: str) -> tuple[int, int]:
    """From what vm_stat prints. Raises ValueError for another text."""
    size = re.search(r"page size of (\d+) bytes", text)
    pages = {name: int(count) for name, count in re.findall(r"^Pages ([a-z ]+):\s+(\d+)\.", text, re.MULTILINE)}
    if size is None or "wired down" not in pages or "free" not in pages:
        raise ValueError(f"vm_stat printed something else: {text[:200]!r}")
    return pages["wired down"] * int(size[1]), pages["free"] * int(size[1])


def footprint(pid: int) -> int:
    """What Activity Monitor calls memory; it has Metal's buffers. 0 when the process is gone.

    `ri_phys_footprint` of `struct rusage_info_v0`: behind a UUID, five 64-bit counters, the wired and resident sizes.
    """
    if sys.platform == "darwin":
        usage = (ctypes.c_uint64 * 32)()
        failed = ctypes.CDLL(None).proc_pid_rusage(pid, _RUSAGE_INFO_V0, ctypes.byref(usage))
        return 0 if failed else int(usage[9])
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def family(pid: int) -> list[int]:
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.Error:
        return []


def sample(pid: int) -> Sample:
    """Now, with the processes of the daemon `pid`."""
    held = sum(footprint(each) for each in family(pid))
    if sys.platform == "darwin":
        wired, free = wired_and_free(subprocess.run(["vm_stat"], capture_output=True, text=True, check=True).stdout)
        level = subprocess.run(
            ["sysctl", "-n", "kern.memorystatus_vm_pressure_level"], capture_output=True, text=True, check=True
        )
        return Sample(wired, free, int(level.stdout), held)
    figures = {line.split()[0]: int(line.split()[1]) << 10 for line in Path("/proc/meminfo").read_text().splitlines()}
    return Sample(figures["Unevictable:"], figures["MemFree:"], 0, held)
