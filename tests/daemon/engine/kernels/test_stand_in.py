"""What MLX finds as g++: it compiles nothing, hands over what is there, and notes what is not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.compilers import FLAGS, call

from mlx_serve.daemon.engine.kernels import stand_in
from mlx_serve.daemon.engine.kernels.compiler_call import CompilerCall
from mlx_serve.daemon.engine.kernels.kernel_files import KernelFiles


def test_a_kernel_that_is_there_is_handed_over_and_another_one_noted(tmp_path: Path) -> None:
    """By the shell with no PATH but its folder, as MLX calls it; the paths, which change, make no difference."""
    files, wanted, programs = KernelFiles(tmp_path / "a root", "one"), tmp_path / "wan'ted", tmp_path / "programs"
    wanted.mkdir()
    programs.mkdir()
    stand_in.install(programs, files, wanted)

    def run(*arguments: str) -> int:
        quoted = " ".join(f'"{argument}"' for argument in arguments)
        environ = os.environ | {"PATH": str(programs)}
        return subprocess.run(f"g++ {quoted} 2>&1", shell=True, env=environ, check=False).returncode

    assert run("--version") == 0
    first = call(tmp_path, "3f", "void kernel() {}")
    assert run(*first) == 1
    (noted,) = wanted.glob("*.json")
    assert noted.with_suffix(".cpp").read_text() == "void kernel() {}"
    with files.alone():
        files.publish(noted.stem, b"a library")
    again = call(tmp_path, "a1", "void kernel() {}")
    assert run(*again) == 0
    assert Path(again[-1]).read_bytes() == b"a library"
    assert run(*call(tmp_path, "a2", "void another() {}")) == 1
    assert len(list(wanted.glob("*.json"))) == 2


def test_the_key_tells_what_comes_out(tmp_path: Path) -> None:
    def key(text: str, *more: str, name: str = "x") -> str:
        return CompilerCall.parse([*more, *call(tmp_path, name, text)]).key()

    assert key("a") == key("a", name="y")
    assert len({key("a"), key("b"), key("a", "-mavx2"), key("a", *FLAGS)}) == 4


@pytest.mark.parametrize("arguments", [["--help"], ["a.cpp", "-c", "b.so"], ["a.o", "-o", "b.so"]])
def test_another_kind_of_call_is_refused(arguments: list[str]) -> None:
    """A later MLX may call it in another way: then nothing is fused."""
    with pytest.raises(ValueError):
        CompilerCall.parse(arguments)
