"""Decode steps are fused when every kernel is there, all at once, and only while nobody wants anything."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.compilers import COPIES, call, compiler
from support.waiting import wait_until

from mlx_serve.daemon.engine.kernels import fusing, kernel_process
from mlx_serve.daemon.engine.kernels.fusing import Fusing

Make = Callable[..., Fusing]


class Steps:
    """A function that needs a kernel for one row and another one for more, asked for as MLX does. `had` is for how many
    rows it has had its kernels, `fused` whether it was told to use them."""

    def __init__(self, folder: Path, name: str, *, fails: bool = False) -> None:
        self._folder = folder
        self._name = name
        self._fails = fails
        self._loaded: set[str] = set()
        self.had: list[int] = []
        self.fused = False

    def attempt(self, rows: int) -> None:
        kernel = f"{self._name} {min(rows, 2)}"
        if kernel not in self._loaded:
            arguments = call(self._folder, f"{self._name}{time.monotonic_ns()}", kernel)
            if subprocess.run(["g++", *arguments], env=os.environ, check=False).returncode or self._fails:
                raise RuntimeError("Failed to compile function")
            assert Path(arguments[-1]).read_text() == kernel
            self._loaded.add(kernel)
        self.had.append(rows)

    def use_fused(self) -> None:
        self.fused = True


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "home" / "cache" / "kernels"


@pytest.fixture
def make(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """With this shell code as the machine's compiler; what it leaves in the environment is put back."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(fusing, "fusing_works", lambda: True)
    monkeypatch.setattr(fusing, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(kernel_process, "NICE", 0)  # else each test waits for all the others

    def make(*steps: Steps, body: str = COPIES, rows: int = 3, busy: Callable[[], bool] = lambda: False) -> Fusing:
        monkeypatch.setenv("PATH", compiler(tmp_path / "machine", f"echo >>{tmp_path}/calls; {body}"))
        return Fusing(steps, rows, root, busy)

    return make


def calls(tmp_path: Path) -> int:
    path = tmp_path / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


def rest(fusing: Fusing) -> None:
    """As long as it wants to be called again."""
    wait_until(lambda: fusing() is None, "it has come to an end")


def test_all_change_at_once_when_everything_is_there(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each function for every number of rows. A second model with the same functions compiles nothing."""
    steps = [Steps(tmp_path, "a"), Steps(tmp_path, "b")]
    one = make(*steps)
    while one() is not None:
        assert not any(step.fused for step in steps)
    assert all(step.fused and step.had == [1, 2, 3] for step in steps)
    assert calls(tmp_path) == 4
    again = [Steps(tmp_path, "a"), Steps(tmp_path, "b")]
    assert make(*again)() is None and all(step.fused for step in again)
    assert calls(tmp_path) == 4
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(" seconds")[0] for line in told] == [
        f"fuse decode steps functions=2 rows=1-3 compiled={count}" for count in (4, 0)
    ]
    assert one() is None and len(capsys.readouterr().err) == 0, "once is enough"


def test_it_stops_when_somebody_wants_something_and_goes_on_later(make: Make, tmp_path: Path) -> None:
    """No compiler is started then either, and nothing changes."""
    steps, waiting = Steps(tmp_path, "a"), True
    one = make(steps, busy=lambda: waiting or len(steps.had) == 2)
    assert one() is None and not steps.had
    waiting = False
    rest(one)
    assert steps.had == [1, 2] and not steps.fused
    steps.had.append(0)
    rest(one)
    assert steps.fused and steps.had == [1, 2, 0, 3]


def test_no_compiler_starts_while_somebody_waits(make: Make, tmp_path: Path) -> None:
    steps = Steps(tmp_path, "a")
    one = make(steps, busy=lambda: bool(list(tmp_path.glob("kernels-*/wanted/*"))))
    assert one() is None and one() is None and list(tmp_path.glob("kernels-*/wanted/*"))
    assert calls(tmp_path) == 0


@pytest.mark.parametrize(
    ("body", "said", "made"),
    [
        ("echo 'x: fatal error: no space' >&2; exit 1", "(status 1): x: fatal error: no space", 2),
        ("exit 0", "FileNotFoundError", 1),
        (f"{COPIES}; kill -9 $PPID", "ended with status -9", 1),
    ],
)
def test_a_failure_is_told_once_and_changes_nothing(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, said: str, made: int
) -> None:
    """`made`: calls of the compiler, which is tried without the further flags too."""
    steps = Steps(tmp_path, "a")
    one = make(steps, body=body)
    rest(one)
    rest(one)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("compile kernels: ") and line.endswith("decode steps stay as they are") and said in line
    assert not steps.fused and calls(tmp_path) == made


def test_a_read_only_home_with_all_kernels_is_enough_and_without_them_it_is_told(
    make: Make, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rest(make(Steps(tmp_path, "a")))
    steps = Steps(tmp_path, "a")
    root.joinpath("lock").unlink()
    root.joinpath("lock").mkdir()  # what root may write to everywhere, this keeps it from
    rest(make(steps))
    assert steps.fused
    capsys.readouterr()
    other = Steps(tmp_path, "b")
    rest(make(other))
    assert not other.fused and "IsADirectoryError" in capsys.readouterr().err


def test_what_fails_without_a_missing_kernel_ends_it(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a library does that cannot be loaded: nothing is compiled over and over."""
    steps = Steps(tmp_path, "a", fails=True)
    rest(make(steps))
    assert "compile kernels: RuntimeError: Failed to compile function; decode" in capsys.readouterr().err
    assert not steps.fused and calls(tmp_path) == 1


def test_kernels_that_never_come_back_are_compiled_once(
    make: Make, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where something else empties the folder again and again."""
    steps = Steps(tmp_path, "a")
    one = make(steps)
    while one() is not None:
        if one._compiler is not None:  # which looks at what it has written
            one._compiler.wait()
        for path in root.glob("*/*.so"):
            path.unlink()
    assert "cannot be read back" in capsys.readouterr().err and calls(tmp_path) == 1


def test_whatever_a_function_raises_ends_it(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer's own code is run for numbers of rows that nobody has asked for yet; the model serves on."""

    def attempt(rows: int) -> None:
        raise TypeError("three rows\nare too many")

    steps = Steps(tmp_path, "a")
    monkeypatch.setattr(steps, "attempt", attempt)
    rest(make(steps))
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "compile kernels: TypeError: three rows are too many; decode steps stay as they are"


def test_without_functions_nothing_is_done(make: Make, tmp_path: Path) -> None:
    """A model whose layers are not compiled."""
    before = os.environ["PATH"]
    assert make()() is None
    assert not list(tmp_path.glob("kernels-*")) and before in os.environ["PATH"]


def test_where_mlx_fuses_nothing_it_is_told(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where no program may be run from the temporary folder: a compiled function would be run as it is."""
    monkeypatch.setattr(fusing, "fusing_works", lambda: False)
    steps = Steps(tmp_path, "a")
    rest(make(steps))
    assert "MLX fuses nothing here" in capsys.readouterr().err and not steps.fused
