"""What processes hold: on this system, and on macOS by a library that answers as libproc does."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from typing import Any

import psutil
import pytest
from support.waiting import GUARD, wait_until

from mlx_serve.control.server import documents
from mlx_serve.daemon import process_memory
from mlx_serve.daemon.engine.prompt.memory_bound import footprint
from mlx_serve.daemon.process_memory import Footprints, ResidentSizes

MB = 1 << 20
GROWN = "import subprocess, sys; x = bytearray(64 << 20); print(1, flush=True); input()"


class LibProc:
    """libproc for a few processes: pid -> (parent, resident size, footprint). It writes C structures as that does."""

    def __init__(self, processes: dict[int, tuple[int, int, int]]) -> None:
        self.processes = processes
        self.asked: list[int] = []

    def proc_pid_rusage(self, pid: ctypes.c_int, flavor: ctypes.c_int, buffer: Any) -> int:
        """`struct rusage_info_v0`, 96 bytes: uuid, user_time, system_time, pkg_idle_wkups, interrupt_wkups, pageins,
        wired_size, resident_size, phys_footprint, proc_start_abstime, proc_exit_abstime."""
        assert flavor.value == 0
        self.asked.append(pid.value)
        if pid.value not in self.processes:
            return -1
        _, resident, footprint = self.processes[pid.value]
        usage = struct.pack("=16s10Q", b"u" * 16, 1, 2, 3, 4, 5, 6, resident, footprint, 9, 10)
        ctypes.memmove(buffer, usage, len(usage))
        return 0

    def proc_listpids(self, kind: ctypes.c_uint32, info: ctypes.c_uint32, buffer: Any, size: ctypes.c_int) -> int:
        """PROC_PPID_ONLY; the count of bytes written."""
        assert kind.value == 6
        pids = [pid for pid, (parent, _, _) in self.processes.items() if parent == info.value]
        written = struct.pack(f"={len(pids)}i", *pids)
        assert len(written) <= size.value
        ctypes.memmove(buffer, written, len(written))
        return len(written)


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> LibProc:
    """The daemon, a model whose gigabytes are Metal's, its prompt process with a worker, and a process of others."""
    me = os.getpid()
    library = LibProc(
        {
            me: (1, 50 * MB, 45 * MB),
            200: (me, 300 * MB, 9000 * MB),
            201: (200, 60 * MB, 40 * MB),
            202: (201, 30 * MB, 20 * MB),
            900: (1, 7000 * MB, 7000 * MB),
        }
    )
    monkeypatch.setattr(process_memory, "system", lambda: Footprints(library))
    return library


def test_on_macos_the_footprint_counts(mac: LibProc) -> None:
    """With it Metal's memory; nobody else's process is looked at."""
    assert process_memory.family(200) == 9060 * MB
    assert mac.asked == [200, 201, 202]
    assert process_memory.family(12345) == 0


def test_on_macos_status_and_metrics_show_footprints(mac: LibProc) -> None:
    memory = documents.memory()
    assert (memory.daemon, memory.children, memory.processes) == (45 * MB, 9060 * MB, 3)


def test_on_macos_a_prompt_is_bounded_by_its_footprint(mac: LibProc) -> None:
    """A resident size shrinks while the system compresses what a template has filled."""
    assert footprint(201, mac) == 40 * MB
    assert footprint(12345, mac) == 0
    assert footprint(201, object()) == 0


def test_on_linux_a_family_is_what_the_system_says() -> None:
    """The process itself without what it shares, and those it started."""
    with subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {GROWN!r}])"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"1\n"
        sizes = ResidentSizes()
        (child,) = wait_until(lambda: sizes.children(parent.pid), "the child", GUARD)
        assert sizes.part(child) > 64 * MB and sizes.whole(child) > 64 * MB
        assert sizes.private(parent.pid) < 64 * MB
        assert process_memory.family(parent.pid) == pytest.approx(
            sizes.part(child) + sizes.private(parent.pid), rel=0.1
        )
        psutil.Process(child).kill()
    for read in (sizes.whole, sizes.private, sizes.part, process_memory.family):
        assert read(parent.pid) == 0
    assert sizes.children(parent.pid) == []
