"""What processes use, as far as tests ask: processor time, memory, and whether they are still there."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil


def dead(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked for its status yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def gone(process: psutil.Process) -> bool:
    """The same of one that was seen before, whose number may be another's by now."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def used(process: psutil.Process) -> float:
    """Seconds of the processor that a process has had: what another's load does not change."""
    times = process.cpu_times()
    return float(times.user + times.system)


def resting(processes: Iterable[psutil.Process], seconds: float, *, allowed: float) -> bool:
    """Whether each of them is still there after these seconds and has used the processor for at most `allowed` seconds.
    One that has ended in the meantime is one more reason to look again."""
    processes = list(processes)
    try:
        before = [used(process) for process in processes]
        time.sleep(seconds)
        return all(used(process) - first <= allowed for process, first in zip(processes, before, strict=True))
    except psutil.NoSuchProcess:
        return False


def memory(process: psutil.Process) -> int:
    """Bytes of memory that a process has, 0 when it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
