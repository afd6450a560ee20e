"""Temporary folders: private, gone with their owners, and swept when the owner was killed. Never anybody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.process_use import dead
from support.waiting import wait_until

from mlx_serve.store.disk import scratch
from mlx_serve.store.disk.scratch import CHILD, VIEWS, Scratch, sweep

# Makes a folder, hands its lock to a process of its own, tells both, and stays until it is killed.
OWNER = """
import subprocess, sys
from mlx_serve.store.disk.scratch import CHILD, Scratch
made = Scratch.make(CHILD)
line = [sys.executable, "-c", "input()"]
child = subprocess.Popen(line, stdin=subprocess.PIPE, pass_fds=[made.descriptor]) if "with-child" in sys.argv else None
print(made.path, child.pid if child else 0, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def owner(temporary: Path, *arguments: str) -> tuple[subprocess.Popen[str], Path, int]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, *arguments],
        env=os.environ | {"TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    path, pid = process.stdout.readline().split()
    return process, Path(path), int(pid)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    process.stdout.close()


def test_one_is_private_and_gone_when_it_is_removed(temporary: Path) -> None:
    made = Scratch.make(CHILD)
    assert made.path.parent == temporary and made.path.stat().st_mode & 0o777 == 0o700
    (made.path / "below").mkdir()
    (made.path / "below" / "file").write_text("x")
    made.remove()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_owner_left_is_swept_and_what_a_living_one_holds_stays(temporary: Path) -> None:
    dead, left, _ = owner(temporary)
    living, held, _ = owner(temporary)
    (left / "library.so").write_bytes(b"x")
    own = Scratch.make(VIEWS)
    try:
        assert sweep(CHILD, VIEWS) == 0 and left.is_dir()
        kill(dead)
        assert sweep(VIEWS) == 0 and left.is_dir(), "only what is asked for"
        assert sweep(CHILD, VIEWS) == 1
        assert sorted(temporary.iterdir()) == sorted([held, own.path])
    finally:
        kill(living)
        own.remove()


def test_a_child_that_outlives_its_daemon_keeps_its_folder(temporary: Path) -> None:
    process, path, pid = owner(temporary, "with-child")
    assert process.stdin is not None
    os.kill(pid, 19)  # it stands still, so that the end of its input cannot end it
    kill(process)
    assert sweep(CHILD) == 0 and path.is_dir()
    os.kill(pid, 9)
    wait_until(lambda: dead(pid), "the child has ended")
    assert sweep(CHILD) == 1 and not path.exists()


def test_what_only_looks_like_one_is_left_alone(temporary: Path, tmp_path: Path) -> None:
    """A link to somebody's folder, a file, and folders of other names."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    (temporary / f"{CHILD}link").symlink_to(precious)
    (temporary / f"{CHILD}file").write_text("x")
    (temporary / "mlx-serve-demo").mkdir()
    before = sorted(temporary.iterdir())
    assert sweep(CHILD, VIEWS) == 0
    assert sorted(temporary.iterdir()) == before and (precious / "file").exists()


def test_links_within_a_swept_folder_are_not_followed(temporary: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    made = Scratch.make(CHILD)
    (made.path / "link").symlink_to(precious)
    os.close(made.descriptor)
    assert sweep(CHILD) == 1 and (precious / "file").exists()


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the making of a folder and its lock another daemon may start and sweep."""
    real, paths = tempfile.mkdtemp, []

    def mkdtemp(prefix: str) -> str:
        paths.append(real(prefix=prefix))
        if len(paths) == 1:
            assert sweep(CHILD) == 1
        return paths[-1]

    monkeypatch.setattr(scratch.tempfile, "mkdtemp", mkdtemp)
    made = Scratch.make(CHILD)
    assert str(made.path) == paths[1] and made.path.is_dir()
    made.remove()


def test_a_temporary_folder_that_is_not_there_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert sweep(CHILD) == 0
