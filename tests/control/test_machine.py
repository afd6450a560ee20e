"""A Mac that MLX cannot run on is told so before pip says "no matching distribution": by make, start and the child."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.waiting import GUARD

from mlx_serve import machine
from mlx_serve.control.cli import launch
from mlx_serve.control.cli import main as cli
from mlx_serve.daemon.errors import RunnerDied
from mlx_serve.daemon.workers.runner import Runner

ROOT = Path(__file__).parents[2]
INTEL = ("x86_64", None, "15.5")
ROSETTA = ("x86_64", 1, "15.5")
OLD = ("arm64", 0, "13.6.9")
FINE = [("arm64", 0, "14.0"), ("arm64", 0, "15.5"), ("arm64", 0, "26.0.1"), ("arm64", None, "")]

# A Python on a Mac, as far as `machine` can see: it is told the processor, what Rosetta says and macOS' version.
MAC = """
import ctypes, os, sys

class LibSystem:
    def sysctlbyname(self, name, value, size, new, new_size):
        assert new is None and new_size.value == 0
        known = {values}
        found = known.get(name)
        if found is None:
            return -1
        assert len(found) <= size._obj.value
        ctypes.memmove(value, found, len(found))
        size._obj.value = len(found)
        return 0

sys.platform = "darwin"
system = LibSystem()
ctypes.CDLL = lambda name: system
os.uname = lambda: os.uname_result(("Darwin", "mac", "", "", {machine!r}))
"""


def mac(processor: str, translated: int | None, version: str) -> str:
    values: dict[bytes, bytes] = {}
    if translated is not None:
        values[b"sysctl.proc_translated"] = translated.to_bytes(4, sys.byteorder)
    if version:
        values[b"kern.osproductversion"] = version.encode() + b"\0"
    return MAC.format(values=values, machine=processor)


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Any:
    """This process is on such a machine from now on."""

    def begin(kind: tuple[str, int | None, str]) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.setattr(os, "uname", os.uname)
        monkeypatch.setattr(ctypes, "CDLL", ctypes.CDLL)
        exec(mac(*kind), {})

    return begin


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (INTEL, "needs a Mac with Apple silicon (M1 or newer), and this one has an Intel processor"),
        (ROSETTA, f"{sys.executable} is one for Intel Macs, which Rosetta translates; install a native arm64 Python"),
        (OLD, "needs macOS 14 or newer, and this is macOS 13.6.9; update it"),
    ],
)
def test_each_mac_that_cannot_is_told_what_it_needs(kind: Any, words: str, become: Any) -> None:
    become(kind)
    found = machine.problem()
    assert found is not None and words in found


@pytest.mark.parametrize("kind", FINE)
def test_one_that_can_is_told_nothing(kind: Any, become: Any) -> None:
    """Nor is one whose version is not told."""
    become(kind)
    assert machine.problem() is None


def test_other_systems_are_not_asked() -> None:
    assert machine.problem() is None


def test_start_refuses_with_the_sentence(
    environment: dict[str, str], become: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "start", lambda *_: pytest.fail("it was started"))
    become(INTEL)
    for words in (["start"], ["start", "--foreground"]):
        assert cli.main(words) == 1
        shown = capsys.readouterr().err
        assert shown.startswith("mlx-serve: mlx-serve cannot run here: MLX needs a Mac with Apple silicon")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(("kind", "can"), [(INTEL, False), (ROSETTA, False), (OLD, False), (FINE[0], True)])
def test_make_says_it_before_it_makes_anything(kind: Any, can: bool, tmp_path: Path) -> None:
    """With a Python that believes to be on that machine, and notes what it is asked."""
    asked = tmp_path / "asked"
    (tmp_path / "mac.py").write_text(f"{mac(*kind)}\nimport runpy\nrunpy.run_path(sys.argv[1], run_name='__main__')\n")
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\necho "$1 $2" >>{asked}\n'
        f'case "$1" in *machine.py) exec {sys.executable} {tmp_path}/mac.py "$1" ;; *) exit 9 ;; esac\n'
    )
    python.chmod(0o755)
    command = ["make", "-C", str(ROOT), f"VENV={tmp_path}/venv", f"PYTHON={python}", "install"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GUARD, check=False)
    assert done.returncode != 0 and not (tmp_path / "venv").exists()
    seen = asked.read_text().splitlines()
    assert seen[0] == "packaging/python/mlx_serve/machine.py "
    assert ("mlx-serve cannot run here: MLX needs" in done.stderr) is not can
    assert seen[1:] == (["-m venv"] if can else [])


async def test_a_child_that_cannot_import_mlx_says_why(tmp_path: Path) -> None:
    """The error's first line, and what this machine needs; not `exit status 1`."""
    program = tmp_path / "child.py"
    error = "dlopen(libmlx.dylib): incompatible architecture (have arm64, need x86_64)\nTried: everywhere"
    program.write_text(
        f"{mac(*ROSETTA)}\n"
        "from mlx_serve.daemon.engine import main\n"
        f"def fails(notes): raise ImportError({error!r})\n"
        "main.prefer_openblas = lambda: None\n"
        "main._import_engine = fails\n"
        "main.main()\n"
    )
    runner = await Runner.spawn((str(program),))
    with pytest.raises(RunnerDied) as caught:
        await runner.hello()
    await runner.close()
    said = str(caught.value)
    assert "MLX cannot be used: dlopen(libmlx.dylib): incompatible architecture (have arm64, need x86_64)" in said
    assert "Tried" not in said and "is one for Intel Macs, which Rosetta translates" in said


@pytest.mark.parametrize("library", ["numpy", "mlx_lm"])
async def test_whichever_library_is_broken_it_is_said(library: str, tmp_path: Path) -> None:
    """The prompt process needs some of them before MLX is imported."""
    program = tmp_path / "child.py"
    program.write_text(
        "import sys\n"
        f"sys.modules[{library!r}] = None\n"
        "from mlx_serve.daemon.engine import main\n"
        "main.prefer_openblas = lambda: None\n"
        "main.main()\n"
    )
    runner = await Runner.spawn((str(program),))
    with pytest.raises(RunnerDied, match=f"MLX cannot be used: .*{library}.*install mlx-serve anew"):
        await runner.hello()
    await runner.close()
