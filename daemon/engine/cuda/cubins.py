"""The compiled kernels of this process: from disk, or from NVIDIA's run-time compiler.

MLX finds a kernel by the hash of its code, which it computes for every call: of a dozen kilobytes, some microseconds of
the few that a call takes. But what is in its own folder of compiled kernels (`MLX_PTX_CACHE_DIR`) it finds by a name
and the hash of whatever it was given as code (jit_module.cpp, `read_cached_ptx`). So a kernel is put there, and
a few bytes stand for its code. Where that folder is not known, or cannot be written to, the code itself is handed over.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mlx.core as mx

from . import nvrtc

STAND_IN = b"on disk"
"""Stands for the code of a kernel. It is no code: where MLX does not find the file, it says that it cannot load it."""

_SEED = 0xC70F6907  # libstdc++, functional_hash.h
_CHECKSUM = "sha256 "
_PART = ".part"


@dataclass(frozen=True)
class Code:
    """What `mx.fast.precompiled_cuda_kernel` takes as a name and as code."""

    name: str
    image: bytes


@dataclass(frozen=True)
class Asked:
    """How MLX asks for a kernel on disk: in a file that is called by a name and the hash of some code, by the name of a
    function."""

    file: str
    code: bytes
    function: str


class Cubins:
    """`folder`: MLX's own for compiled kernels; None: nothing is kept."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._architecture = str(mx.device_info().get("architecture"))
        self._found: dict[tuple[str, tuple[object, ...]], Code] = {}

    def get(self, name: str, source: Callable[..., str], *arguments: object, **options: object) -> Code:
        """The code for this GPU of what `source` gives for these arguments, an `extern "C"` kernel called KERNEL.
        Raises CompilerError."""
        key = (name, (*arguments, *options.items()))
        if (code := self._found.get(key)) is None:
            code = self._found[key] = self._made(name, source(*arguments, **options))
        return code

    def kept(self, name: str, source: str, asked: Callable[[str], Asked]) -> str | None:
        """The same for a kernel that MLX is to find on disk, as `asked` says of the kernel's whole name, which is
        given; None where it cannot be kept. Raises CompilerError."""
        name, source = self._named(name, source)
        return name if self._keep(name, source, asked(name)) else None

    def _made(self, name: str, source: str) -> Code:
        name, source = self._named(name, source)
        if self._keep(name, source, Asked(name, STAND_IN, name)):
            return Code(name, STAND_IN)
        return Code(name, nvrtc.compile_source(source, self._architecture))

    def _named(self, name: str, source: str) -> tuple[str, str]:
        """A name for the kernel that says all of it, and its code with that name."""
        facts = "\n".join((self._architecture, nvrtc.version(), source))
        name = f"{name}_{hashlib.sha256(facts.encode()).hexdigest()[:16]}"
        return name, f"#define KERNEL {name}\n{source}"

    def _keep(self, name: str, source: str, asked: Asked) -> bool:
        """Have it on disk, compiled, where there is a place for it; gives whether it is there."""
        if self._folder is None or (hashed := _hash(asked.code)) is None:
            return False
        path = self._folder / f"{asked.file}_{hashed:x}.ptx"
        try:
            if not _whole(path):
                _publish(path, asked.function, name, nvrtc.compile_source(source, self._architecture))
        except OSError:  # a disk may be full, a folder read-only
            return False
        return True


def _whole(path: Path) -> bool:
    """Whether a kernel is there as it was written."""
    try:
        lines = path.with_suffix(".txt").read_text().splitlines()
        return bool(lines) and lines[-1] == _CHECKSUM + hashlib.sha256(path.read_bytes()).hexdigest()
    except (FileNotFoundError, UnicodeDecodeError):
        return False


def _publish(path: Path, asked: str, name: str, image: bytes) -> None:
    """As MLX writes it: the code, and beside it the name that is asked for and that of the function in the code; it
    passes over a line without a tab. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = f"{asked}\t{name}\n{_CHECKSUM}{hashlib.sha256(image).hexdigest()}\n"
    for target, content in ((path.with_suffix(".txt"), names.encode()), (path, image)):
        descriptor, unfinished = tempfile.mkstemp(suffix=_PART, dir=path.parent)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            Path(unfinished).replace(target)
        except BaseException:
            Path(unfinished).unlink()
            raise


@cache
def _hash(content: bytes) -> int | None:
    """`std::hash<std::string>` of the C++ library that MLX uses on Linux, by that library's own function; None where
    there is no such library."""
    try:
        function = ctypes.CDLL("libstdc++.so.6")._ZSt11_Hash_bytesPKvmm
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_size_t
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t]
    return int(function(content, len(content), _SEED))
