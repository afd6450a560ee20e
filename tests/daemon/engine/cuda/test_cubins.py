"""Kernels are compiled once for a machine, and stand where MLX finds them without their code."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mlx_serve.daemon.engine.cuda import cubins, nvrtc
from mlx_serve.daemon.engine.cuda.cubins import STAND_IN, Cubins
from mlx_serve.daemon.engine.cuda.nvrtc import CompilerError


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the compiler was given; what it makes is that, for the architecture."""
    sources: list[str] = []

    def compile_source(source: str, architecture: str) -> bytes:
        sources.append(source)
        return f"{architecture} {source}".encode()

    monkeypatch.setattr(nvrtc, "compile_source", compile_source)
    monkeypatch.setattr(nvrtc, "version", lambda: "13.0")
    return sources


def source(number: int) -> str:
    return f"kernel {number}"


def test_a_kernel_is_compiled_once_and_stands_on_disk(compiled: list[str], tmp_path: Path) -> None:
    """In this process and in the next one; another kernel and another architecture are others."""
    first = Cubins(tmp_path / "ptx").get("product", source, 1)
    assert first.image == STAND_IN and first.name.startswith("product_")
    assert Cubins(tmp_path / "ptx").get("product", source, 1) == first
    assert compiled == [f"#define KERNEL {first.name}\nkernel 1"]
    assert Cubins(tmp_path / "ptx").get("product", source, 2).name != first.name
    other = Cubins(tmp_path / "ptx")
    other._architecture = "sm_89"
    assert other.get("product", source, 1).name != first.name and len(compiled) == 3


def test_it_stands_as_mlx_looks_for_it(compiled: list[str], tmp_path: Path) -> None:
    """`<name>_<hash of what stands for the code>.ptx`, and beside it a line with the kernel's name and the function's
    (mlx/backend/cuda/jit_module.cpp)."""
    code = Cubins(tmp_path / "ptx").get("product", source, 1)
    path = tmp_path / "ptx" / f"{code.name}_{cubins._hash(STAND_IN):x}.ptx"
    assert path.read_bytes().endswith(b"kernel 1")
    lines = path.with_suffix(".txt").read_text().splitlines()
    assert [line.split("\t") for line in lines if "\t" in line] == [[code.name, code.name]]
    assert {one.suffix for one in path.parent.iterdir()} == {".ptx", ".txt"}
    assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_the_hash_is_that_of_the_cxx_library(tmp_path: Path) -> None:
    program = tmp_path / "hash.cpp"
    program.write_text(
        "#include <functional>\n#include <iostream>\n#include <string>\n"
        f'int main() {{ std::cout << std::hash<std::string>{{}}("{STAND_IN.decode()}"); }}\n'
    )
    subprocess.run(["g++", str(program), "-o", str(tmp_path / "hash")], check=True)
    said = subprocess.run([str(tmp_path / "hash")], check=True, capture_output=True, text=True).stdout
    assert int(said) == cubins._hash(STAND_IN)


@pytest.mark.parametrize("damage", ["cut", "changed", "no names", "names of another", "no text"])
def test_a_damaged_file_is_written_anew(compiled: list[str], tmp_path: Path, damage: str) -> None:
    Cubins(tmp_path).get("product", source, 1)
    (path,) = tmp_path.glob("*.ptx")
    whole = path.read_bytes()
    names = path.with_suffix(".txt")
    match damage:
        case "cut":
            path.write_bytes(whole[:-1])
        case "changed":
            path.write_bytes(b"X" + whole[1:])
        case "no names":
            names.unlink()
        case "names of another":
            names.write_text("a\tb\n")
        case "no text":
            names.write_bytes(b"\xff\xfe")
    Cubins(tmp_path).get("product", source, 1)
    assert len(compiled) == 2 and path.read_bytes() == whole and cubins._whole(path)


def test_without_a_place_to_keep_it_the_code_itself_is_given(compiled: list[str], tmp_path: Path) -> None:
    """No folder, one that is a file, or a C++ library that is not known."""
    (tmp_path / "file").write_text("")
    for kept in (Cubins(), Cubins(tmp_path / "file")):
        code = kept.get("product", source, 1)
        assert code.image.endswith(b"kernel 1")
        assert kept.get("product", source, 1) is code
    assert len(compiled) == 2


def test_another_library_is_no_error(compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cubins, "_hash", lambda content: None)
    assert Cubins(tmp_path).get("product", source, 1).image.endswith(b"kernel 1")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_no_error(compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code itself is given, and nothing unfinished is left."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert Cubins(tmp_path).get("product", source, 1).image.endswith(b"kernel 1")
    assert not list(tmp_path.iterdir())


def test_a_process_without_the_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self: "7f00-7f01 r-xp 00000000 08:01 42 /usr/lib/libc.so.6\n")
    nvrtc.library.cache_clear()
    with pytest.raises(CompilerError, match="has not loaded"):
        nvrtc.version()
    nvrtc.library.cache_clear()
