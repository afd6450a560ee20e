"""The process that compiles: at the lowest priority, one at a time, gone with who started it; its failures are told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.compilers import COPIES, FLAGS, compiler
from support.process_use import dead
from support.waiting import GUARD, wait_until

from mlx_serve.daemon.engine.kernels import kernel_process
from mlx_serve.daemon.engine.kernels.kernel_files import KernelFiles

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def files(tmp_path: Path) -> KernelFiles:
    return KernelFiles(tmp_path / "root", "one")


@pytest.fixture
def start(tmp_path: Path, files: KernelFiles, monkeypatch: pytest.MonkeyPatch) -> Start:
    """A process with this shell code as its compiler, which wants these kernels."""

    def start(body: str | None, *keys: str, wanted: str = "wanted", nice: int = 0) -> subprocess.Popen[str]:
        monkeypatch.setattr(kernel_process, "NICE", nice)
        folder = tmp_path / wanted
        folder.mkdir()
        for key in keys:
            (folder / f"{key}.cpp").write_text(f"source of {key}")
            (folder / f"{key}.json").write_text(json.dumps(FLAGS))
        path = str(tmp_path) if body is None else compiler(tmp_path / "programs", body)
        return subprocess.Popen(
            kernel_process.command(files, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PATH": path},
            start_new_session=True,
            text=True,
        )

    return start


def told(process: subprocess.Popen[str]) -> str:
    """What it says until it ends by itself: `communicate` would close its standard input, and so end it."""
    assert process.stdout is not None and process.stdin is not None
    said = process.stdout.read()
    process.wait(GUARD)
    process.stdout.close()
    process.stdin.close()
    return said


def test_it_compiles_what_is_wanted(start: Start, files: KernelFiles, tmp_path: Path) -> None:
    """At the lowest priority, as a session too; what is there already is not compiled again."""
    with files.alone():
        files.publish("two", b"there")
    look = f"nice >>{tmp_path}/calls; cat /proc/self/autogroup >>{tmp_path}/sessions"
    process = start(f"{look}; {COPIES}", "one", "two", "three", nice=kernel_process.NICE)
    assert told(process) == "" and process.returncode == 0
    assert (files.read("one"), files.read("two")) == (b"source of one", b"there")
    assert files.read("three") == b"source of three"
    assert not list((tmp_path / "wanted").iterdir()), "which is how it is seen what is missing"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["19", "19"]
    if os.access("/proc/self/autogroup", os.W_OK):
        sessions = (tmp_path / "sessions").read_text().splitlines()
        assert len(sessions) == 2 and all(line.endswith(" nice 19") for line in sessions)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("echo note >&2; echo 'x.cpp: error: no header' >&2; exit 1", "failed (status 1): x.cpp: error: no header"),
        ("kill -9 $$", "failed (killed by signal 9)"),
        ("exit 0", "FileNotFoundError"),
        (None, "there is no C++ compiler: install g++"),
    ],
)
def test_a_failure_is_told_in_a_sentence(start: Start, files: KernelFiles, body: str | None, said: str) -> None:
    """A compiler that finds fault, is killed, makes nothing, or is not there; nothing is published."""
    process = start(body, "one")
    assert said in told(process)
    assert process.returncode == 1 and files.read("one") is None


def test_a_compiler_that_knows_none_of_the_further_flags_compiles_without_them(
    start: Start, files: KernelFiles, tmp_path: Path
) -> None:
    """What goes by the name of g++ may be another one."""
    process = start(COPIES, "one")
    assert told(process) == ""
    picky = f'case "$arguments" in *-march=native*) echo 1 >>{tmp_path}/refused; exit 1;; esac; {COPIES}'
    process = start(picky, "two", wanted="more")
    assert told(process) == "" and process.returncode == 0
    assert (tmp_path / "refused").exists() and files.read("two") == b"source of two"


def test_a_folder_that_cannot_be_written_is_told(start: Start, files: KernelFiles) -> None:
    files.folder.parent.write_text("a file where a folder should be")
    process = start(COPIES, "one")
    assert "Error" in told(process) and process.returncode == 1


def test_the_compiler_ends_with_the_process_that_wants_it(start: Start, tmp_path: Path) -> None:
    """And what it has started, which for a real one does the work. Every end of a process closes its pipes."""
    pids = tmp_path / "pids"
    process = start(f"echo $$ >>{pids}; sh -c 'echo $$ >>{pids}; sleep 600'; true", "one")
    compilers = wait_until(lambda: len(found := _numbers(pids)) == 2 and found, "the compiler runs")
    assert not any(map(dead, compilers))
    assert process.stdin is not None
    process.stdin.close()
    wait_until(lambda: all(map(dead, compilers)), "nothing is left")
    assert process.wait(GUARD) == -signal.SIGKILL
    assert process.stdout is not None
    process.stdout.close()


def _numbers(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_two_models_compile_in_turns(start: Start, files: KernelFiles, tmp_path: Path) -> None:
    """Never two compilers at once; what one has made the other does not make again."""
    busy, twice = tmp_path / "busy", tmp_path / "twice"
    body = f"mkdir {busy} || touch {twice}; echo $source >>{tmp_path}/calls; sleep 0.1; {COPIES}; rmdir {busy}"
    processes = [start(body, "one", "two", wanted=name) for name in ("first", "second")]
    for process in processes:
        assert told(process) == "" and process.returncode == 0
    assert not twice.exists() and len((tmp_path / "calls").read_text().splitlines()) == 2
    assert files.read("one") and files.read("two")
