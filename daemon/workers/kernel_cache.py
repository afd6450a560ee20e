"""What MLX compiles for a CPU, kept for the next child.

On Linux CPUs MLX writes each fused kernel as C++ into TMPDIR, runs the compiler, most of a second a kernel, and loads
the library; one that lies there already is loaded at once (`mlx/backend/cpu/jit_compiler.cpp`). A child's TMPDIR is its
own, so that no other user and no half-written file gets into a process: libraries are copied into it before the child
starts, and what it has added is copied out of it after it has ended well. The folder names MLX's version, the file what
it computes.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

KERNELS = Path("mlx")
MOST_FILES = 256
MOST_BYTES = 64 << 20


def lend(cache: Path, temporary: Path) -> None:
    """Copy what is kept in `cache` into a child's TMPDIR; a cache that cannot be read or trusted lends nothing."""
    kept = _folder(cache)
    if kept is None or not _private(kept):
        return
    try:
        for path in _libraries(kept):
            target = temporary / KERNELS / path.relative_to(kept)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(path, target, follow_symlinks=False)
    except OSError:
        shutil.rmtree(temporary / KERNELS, ignore_errors=True)


def collect(temporary: Path, cache: Path) -> None:
    """Keep what a child has compiled in its TMPDIR; the child has ended, and not been killed. Nothing is kept beyond
    MOST_FILES and MOST_BYTES, nor where the disk is full."""
    kept, made = _folder(cache), temporary / KERNELS
    if kept is None or not made.is_dir():
        return
    try:
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _private(kept):
            return
        there = {path.relative_to(kept): path.stat().st_size for path in _libraries(kept)}
        room, places = MOST_BYTES - sum(there.values()), MOST_FILES - len(there)
        for path in _libraries(made):
            name, size = path.relative_to(made), path.stat().st_size
            if name not in there and size <= room and places:
                _publish(path, kept / name)
                room, places = room - size, places - 1
    except OSError:
        return


def _publish(source: Path, target: Path) -> None:
    """Whole or not at all: another child may be given it at any time."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.stem}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, unfinished, follow_symlinks=False)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _libraries(folder: Path) -> Iterator[Path]:
    """Regular files only: a link is not followed."""
    for path in sorted(folder.rglob("*.so")):
        if stat.S_ISREG(path.lstat().st_mode):
            yield path


def _private(folder: Path) -> bool:
    """Whether nobody else can have put a library there."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _folder(cache: Path) -> Path | None:
    """Where the kernels of this machine's processor are; None where MLX compiles none."""
    return cache / "cpu" / _processor() if sys.platform == "linux" else None


@functools.cache
def _processor() -> str:
    """A name for what the compiler may make use of: a home folder may be on the network."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"
