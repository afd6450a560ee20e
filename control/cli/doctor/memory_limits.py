"""How much memory there is, how much is free, and how much of it macOS lets the GPU keep wired."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from .... import machine
from ..display.tables import size
from .finding import Finding

_GIB = 1 << 30
_LEAST_FREE = 2 * _GIB
_MOST_WIRED = 0.9
_LEAST_LEFT = 4 * _GIB
_PRESSURE = {2: "warning", 4: "critical"}


@dataclass(frozen=True)
class Limits:
    """Bytes. `available` is None where the system does not say; `wired` is `iogpu.wired_limit_mb`, None elsewhere than
    on a Mac, 0 where it is left at macOS' own choice; `pressure` is macOS' level: 1, 2 or 4. `group` is what a
    container may use."""

    total: int
    available: int | None = None
    wired: int | None = None
    pressure: int | None = None
    group: int | None = None


def look() -> Limits:
    if sys.platform == "darwin":
        wired = machine.number("iogpu.wired_limit_mb") << 20
        return Limits(
            machine.number("hw.memsize"), wired=wired, pressure=machine.number("kern.memorystatus_vm_pressure_level")
        )
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Limits(total, _available(Path("/proc/meminfo")), group=_group(Path("/sys/fs/cgroup/memory.max")))


def judge(limits: Limits) -> list[Finding]:
    findings = []
    wired = limits.wired or 0
    if wired > min(limits.total * _MOST_WIRED, limits.total - _LEAST_LEFT):
        share = f"{size(wired)} of {size(limits.total)}"
        text = f"iogpu.wired_limit_mb lets the GPU keep {share} wired, which leaves macOS too little"
        findings.append(
            Finding("warning", "wired limit", text, "sudo sysctl iogpu.wired_limit_mb=0 (macOS' own choice)")
        )
    elif limits.wired is not None:
        text = f"{size(wired)} by iogpu.wired_limit_mb" if wired else "macOS' own choice (iogpu.wired_limit_mb is 0)"
        findings.append(Finding("ok", "wired limit", text))
    if limits.group is not None and limits.group < limits.total:
        text = f"this container may use {size(limits.group)} of the machine's {size(limits.total)}"
        findings.append(Finding("note", "memory", text, "give it more where models do not fit"))
    short = limits.available is not None and limits.available < min(_LEAST_FREE, limits.total // 8)
    if level := _PRESSURE.get(limits.pressure or 1):
        text = f"macOS is short of memory ({level})"
        findings.append(Finding("warning", "memory", text, "end programs that need much, or mlx-serve unload NAME"))
    elif short:
        text = f"{size(limits.available or 0)} of {size(limits.total)} are available"
        findings.append(Finding("warning", "memory", text, "end programs that need much, or mlx-serve unload NAME"))
    else:
        free = "" if limits.available is None else f", {size(limits.available)} available"
        findings.append(Finding("ok", "memory", f"{size(limits.total)}{free}"))
    return findings


def _available(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return int(found[0][1]) * 1024 if found else None


def _group(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None
