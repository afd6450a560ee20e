"""OpenBLAS in front of the reference BLAS that MLX's Linux CPU wheel links: ten times the speed of a matrix product.

A library that is loaded globally before MLX wins the look-up of its symbols. Nothing here imports MLX.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .cpu.core_type import load
from .cpu.threads import adopt, prepare

NAMES = ("libopenblas.so.0", "libopenblas.so")
HINT = (
    "no OpenBLAS found, so MLX uses its slow reference BLAS on this CPU: install libopenblas0 (Debian, Ubuntu) or "
    "openblas (Fedora, Arch)"
)


def prefer_openblas() -> str | None:
    """Load OpenBLAS where it helps; call before MLX is imported. Gives a sentence for the user when there is none."""
    if sys.platform != "linux" or _has_gpu():
        return None
    prepare()
    for name in NAMES:
        try:
            adopt(load(name))
        except OSError:
            continue
        return None
    return HINT


def _has_gpu() -> bool:
    return Path("/dev/nvidiactl").exists() and _cuda_backend()


def _cuda_backend() -> bool:
    from importlib.metadata import PackageNotFoundError, distribution

    for package in ("mlx-cuda-13", "mlx-cuda-12", "mlx-cuda"):
        try:
            distribution(package)
        except PackageNotFoundError:
            continue
        return True
    return False
