"""Where OpenBLAS is: on Linux CPUs the MLX wheel links the reference BLAS, which is ten times slower at prefill.

The daemon's children load OpenBLAS by themselves; the benchmarks give it to the others too, so that all run alike.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from pathlib import Path

from mlx_serve.daemon.engine.cpu.core_type import load

NAMES = ("libopenblas.so.0", "libopenblas.so")


def find() -> str | None:
    """A name that the dynamic loader resolves, or None: no OpenBLAS, or a platform that does not need it."""
    if not sys.platform.startswith("linux"):
        return None
    for name in (*NAMES, ctypes.util.find_library("openblas")):
        if name is None:
            continue
        try:
            load(name)  # whose choice of kernels goes into the environment, and so to all who are measured
        except OSError:
            continue
        return name
    return None


def preload() -> str | None:
    """Load it for this process, before MLX is imported."""
    name = find()
    if name is not None:
        ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    return name


def environment() -> dict[str, str]:
    """The environment for a child that is to have it from the start."""
    name = find()
    if name is None:
        return dict(os.environ)
    return os.environ | {"LD_PRELOAD": " ".join(filter(None, [name, os.environ.get("LD_PRELOAD")]))}


def hidden(folder: Path) -> dict[str, str]:
    """Variables under which a child finds no OpenBLAS: empty files of its names come first on the loader's path."""
    for name in NAMES:
        (folder / name).touch()
    return {"LD_LIBRARY_PATH": ":".join(filter(None, [str(folder), os.environ.get("LD_LIBRARY_PATH")]))}
