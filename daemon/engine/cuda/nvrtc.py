"""NVIDIA's run-time compiler: CUDA C++ to the code of one GPU architecture.

MLX compiles a kernel of one's own anew in each process, with headers that take seconds. Code that includes nothing
takes tens of milliseconds, and what comes out can be kept (`cubins`). The library is the one that MLX has loaded.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from functools import cache
from pathlib import Path


class CompilerError(Exception):
    """The compiler is missing, or refuses the code; the text says why."""


@cache
def library() -> ctypes.CDLL:
    """The compiler's library. Raises CompilerError where this process has none."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError as error:
        raise CompilerError(f"the libraries of this process cannot be listed: {error}") from None
    for line in lines:
        path = line.rpartition(" ")[2]
        if Path(path).name.startswith("libnvrtc.so"):
            return ctypes.CDLL(path)
    raise CompilerError("MLX has not loaded NVIDIA's run-time compiler")


def version() -> str:
    """Such as 13.0. Raises CompilerError."""
    major, minor = c_int(), c_int()
    _check(library().nvrtcVersion(byref(major), byref(minor)))
    return f"{major.value}.{minor.value}"


def compile_source(source: str, architecture: str, options: Sequence[str] = ()) -> bytes:
    """A cubin for an architecture such as `sm_90`. Raises CompilerError."""
    program = c_void_p()
    _check(library().nvrtcCreateProgram(byref(program), source.encode(), b"kernel.cu", 0, None, None))
    try:
        flags = [f"--gpu-architecture={architecture}".encode(), *(option.encode() for option in options)]
        if library().nvrtcCompileProgram(program, len(flags), (c_char_p * len(flags))(*flags)):
            raise CompilerError(_text(program, "ProgramLog"))
        return _bytes(program, "CUBIN")
    finally:
        library().nvrtcDestroyProgram(byref(program))


def _bytes(program: c_void_p, what: str) -> bytes:
    size = c_size_t()
    _check(getattr(library(), f"nvrtcGet{what}Size")(program, byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(getattr(library(), f"nvrtcGet{what}")(program, buffer))
    return buffer.raw


def _text(program: c_void_p, what: str) -> str:
    return " ".join(_bytes(program, what).rstrip(b"\0").decode(errors="replace").split())


def _check(status: int) -> None:
    if status:
        raise CompilerError(f"NVIDIA's run-time compiler fails with status {status}")
