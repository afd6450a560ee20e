"""What the system says of the machine's memory, by fakes of its calls and files; macOS' were not run on a Mac."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import pytest

from mlx_serve.daemon import memory_pressure
from mlx_serve.daemon.memory_pressure import available, gpu_limit, judged, level, sysctl

GIB = 1 << 30


class Kernel:
    """macOS' sysctlbyname: 32-bit numbers by name, and -1 for any other name."""

    def __init__(self, **numbers: int) -> None:
        self.numbers = {name.replace("__", ".").encode(): number for name, number in numbers.items()}

    def sysctlbyname(self, name: bytes, value: Any, size: Any, new: None, length: int) -> int:
        if name not in self.numbers:
            return -1
        assert ctypes.cast(size, ctypes.POINTER(ctypes.c_size_t)).contents.value == 8
        ctypes.cast(value, ctypes.POINTER(ctypes.c_int32)).contents.value = self.numbers[name]
        return 0


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(**numbers: int) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.setattr(ctypes, "CDLL", lambda name: Kernel(**numbers))

    return install


@pytest.mark.parametrize(("number", "found"), [(1, "normal"), (2, "warning"), (4, "critical"), (0, "normal")])
def test_a_mac_says_so_itself(mac: Any, number: int, found: str) -> None:
    mac(kern__memorystatus_vm_pressure_level=number)
    assert level() == found


def test_a_mac_that_does_not_say_is_well(mac: Any) -> None:
    mac()
    assert level() == "normal"
    assert sysctl(b"kern.memorystatus_vm_pressure_level") is None


def test_what_its_owner_allows_the_gpu(mac: Any) -> None:
    """0 is macOS' own choice."""
    mac(iogpu__wired_limit_mb=114_688)
    assert gpu_limit() == 112 * GIB
    mac(iogpu__wired_limit_mb=0)
    assert gpu_limit() is None
    mac()
    assert gpu_limit() is None


@pytest.mark.parametrize(
    ("total", "warning", "critical"),
    [(8 * GIB, GIB // 2, GIB // 4), (16 * GIB, GIB, GIB // 2), (512 * GIB, 2 * GIB, GIB)],
)
def test_how_much_has_to_be_free(total: int, warning: int, critical: int) -> None:
    assert judged(warning, total) == "normal"
    assert judged(warning - 1, total) == judged(critical, total) == "warning"
    assert judged(critical - 1, total) == "critical"


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_linux_counts_what_is_available(tmp_path: Path) -> None:
    write(
        tmp_path,
        meminfo="MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:    4194304 kB\nHugePages_Total: 0\n",
    )
    assert available(tmp_path / "meminfo", tmp_path) == (4 * GIB, 16 * GIB)


def test_a_container_may_have_less_left(tmp_path: Path) -> None:
    """Files that are only cached are not in use."""
    write(
        tmp_path,
        meminfo="MemTotal: 16777216 kB\nMemAvailable: 4194304 kB\n",
        memory__max=f"{8 * GIB}\n",
        memory__current=f"{7 * GIB}\n",
        memory__stat=f"anon {5 * GIB}\ninactive_file {GIB}\n",
    )
    assert available(tmp_path / "meminfo", tmp_path) == (2 * GIB, 8 * GIB)
    write(tmp_path, memory__max="max\n")
    assert available(tmp_path / "meminfo", tmp_path) == (4 * GIB, 16 * GIB)


def test_a_system_without_such_files_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert available(tmp_path / "meminfo", tmp_path) is None
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory_pressure, "available", lambda meminfo, group: None)
    assert level() == "normal"
    monkeypatch.setattr(memory_pressure, "available", lambda meminfo, group: (1, 16 * GIB))
    assert level() == "critical"


@pytest.mark.skipif(sys.platform != "linux", reason="reads this machine's own files")
def test_this_machine_says_something() -> None:
    found = available(Path("/proc/meminfo"), Path("/sys/fs/cgroup"))
    assert found is not None
    assert 0 < found[0] <= found[1]
