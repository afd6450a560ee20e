"""cuDNN's libraries into the system's file cache, while a child waits for its model.

The first attention on an NVIDIA GPU loads them, some hundred MB: 0.9 s on one H200 from the disk and 0.05 s from the
cache, and as much again for the second shape. Nothing is loaded here: what a child that waits has in memory of its own
should be little.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

PACKAGES = ("nvidia-cudnn-cu12", "nvidia-cudnn-cu13")
PART = 1 << 20


def libraries(packages: Iterable[str] = PACKAGES) -> list[Path]:
    """The shared libraries of the packages that are installed."""
    found: list[Path] = []
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            files = metadata.files(package) or []
            found += [Path(str(file.locate())) for file in files if ".so" in file.name]
    return sorted(found)


def read_ahead(paths: Iterable[Path], advise: Callable[[int, int, int], None]) -> None:
    """Ask the system for all of these; `advise` takes a descriptor, an offset and a length. What is not there, MLX will
    report when it wants it."""
    for path in paths:
        with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
            for offset in range(0, os.fstat(file.fileno()).st_size, PART):
                advise(file.fileno(), offset, PART)


def begin(backend: str) -> threading.Thread | None:
    """On a thread, where MLX computes with CUDA; elsewhere nothing."""
    if backend != "cuda" or sys.platform != "linux":
        return None

    def advise(descriptor: int, offset: int, length: int) -> None:
        os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_WILLNEED)

    thread = threading.Thread(target=lambda: read_ahead(libraries(), advise), name="cudnn", daemon=True)
    thread.start()
    return thread
