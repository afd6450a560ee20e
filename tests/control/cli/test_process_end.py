"""`stop` sees the end of a daemon whose parent never waits for it, on systems that show it in different ways."""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import errno
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ports import free_port
from support.waiting import GUARD, wait_until

from mlx_serve.control.cli import main as cli
from mlx_serve.control.cli.commands import daemon as commands
from mlx_serve.control.cli.process_end import ProcessEnd
from mlx_serve.control.socket import alive, socket_path
from mlx_serve.daemon.port_lock import PortLock

_PROGRAM = str(Path(__file__).parents[2] / "support" / "daemon_with_fakes.py")
_PARENT = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(3600)"
LINUX = sys.platform == "linux"


def pidfd_open(pid: int) -> int:
    """Not Python's, which a run under Mac-like conditions takes away."""
    library = ctypes.CDLL(None, use_errno=True)
    descriptor: int = library.syscall(434, pid, 0)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


class Kqueue:
    """kqueue(2) for EVFILT_PROC, as far as it is used: ESRCH for a process that has exited, a zombie too; one notice
    when it exits. The kernel's part is played by a pidfd."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def control(self, changes: list[Any] | None, most: int, seconds: float = 0) -> list[object]:
        for change in changes or ():
            assert (change.filter, change.flags, change.fflags) == ("proc", 0x1 | 0x10, 0x80000000)
            self._descriptor = pidfd_open(change.ident)
            if self._exits(0):
                raise ProcessLookupError(errno.ESRCH, "No such process")
        return [object()] if most and self._exits(seconds) else []

    def _exits(self, seconds: float) -> bool:
        assert self._descriptor is not None
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


class Kevent:
    def __init__(self, ident: int, *, filter: str, flags: int, fflags: int) -> None:
        self.ident, self.filter, self.flags, self.fflags = ident, filter, flags, fflags


def no_pidfd(pid: int) -> int:
    raise OSError(errno.ENOSYS, "not on this system")


@pytest.fixture(params=["pidfd", "kqueue", "lock"] if LINUX else ["kqueue", "lock"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the system has. Nowhere can /proc be read: macOS has none."""
    real = builtins.open

    def without_proc(path: Any, *given: Any, **options: Any) -> Any:
        if str(path).startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return real(path, *given, **options)

    monkeypatch.setattr(builtins, "open", without_proc)
    if request.param != "pidfd":
        monkeypatch.setattr(os, "pidfd_open", no_pidfd, raising=False)
    if request.param == "lock":
        monkeypatch.delattr(select, "kqueue", raising=False)
    elif request.param == "kqueue" and LINUX:
        names = {"KQ_FILTER_PROC": "proc", "KQ_EV_ADD": 0x1, "KQ_EV_ONESHOT": 0x10, "KQ_NOTE_EXIT": 0x80000000}
        for name, value in {"kqueue": Kqueue, "kevent": Kevent, **names}.items():
            monkeypatch.setattr(select, name, value, raising=False)
    return str(request.param)


@pytest.fixture
def started(home: Path, environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Port and pid of a daemon whose parent lives and never waits."""
    port = free_port()
    command = [sys.executable, "-c", _PARENT, sys.executable, _PROGRAM, "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: alive(socket_path(home, port)), "the daemon's socket")
        yield port, pid
        for each in (pid, parent.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)


@pytest.mark.parametrize("force", [False, True])
def test_stop_sees_the_end_of_a_daemon_whose_parent_does_not_wait(
    system: str, force: bool, started: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pid stays taken for as long as the parent lives; `stop` would wait for the whole drain, and fail."""
    port, pid = started
    monkeypatch.setattr(commands, "_SLACK_SECONDS", GUARD)
    assert cli.main(["stop", "--port", str(port), *(["--force"] if force else [])]) == 0
    os.kill(pid, 0)  # a zombie: its parent has not waited


def test_one_that_was_killed_before_is_seen_to_have_ended(system: str, started: tuple[int, int], home: Path) -> None:
    """Its lock lies there still, and nobody holds it."""
    port, pid = started
    with ProcessEnd(pid, home / "run" / f"{port}.lock") as end:
        assert not end.wait(0)
        os.kill(pid, signal.SIGKILL)
        assert end.wait(GUARD) and end.wait(0)
    if system != "lock":
        assert ProcessEnd(pid).wait(0), "also when it is looked at later"
    assert (home / "run" / f"{port}.lock").exists()


def test_a_lock_of_another_process_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that lives is not taken for ended because a lock is missing, free, or somebody else's."""
    monkeypatch.setattr(os, "pidfd_open", no_pidfd, raising=False)
    monkeypatch.delattr(select, "kqueue", raising=False)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert not ProcessEnd(other.pid, tmp_path / "8000.lock").wait(0)
        (tmp_path / "8000.lock").write_text(f"{other.pid}\n")
        assert not ProcessEnd(other.pid, tmp_path / "8000.lock").wait(0)
        lock = PortLock.take(tmp_path, 8000)
        assert not ProcessEnd(other.pid, tmp_path / "8000.lock").wait(0)
        end = ProcessEnd(os.getpid(), tmp_path / "8000.lock")
        assert not end.wait(0)
        lock.release()
        assert end.wait(0)
        other.kill()
        assert ProcessEnd(other.pid).wait(GUARD), "our own child, which is waited for"


def test_a_pid_that_nobody_has_ended(system: str) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        pass
    assert ProcessEnd(other.pid).wait(0)
