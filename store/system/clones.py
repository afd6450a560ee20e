"""Reflinks: copies that share their blocks with the original until one of them changes (btrfs, xfs, APFS)."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
_AT_FDCWD = -2  # macOS, sys/fcntl.h
_CLONE_NOOWNERCOPY = 2  # macOS, sys/clonefile.h


def clone(source: int, target: int, path: Path) -> bool:
    """Make the open, empty file `target` at `path` share all blocks of `source`. False where the file system cannot."""
    if sys.platform == "darwin":
        return _clone_file(source, target, path)
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _clone_file(source: int, target: int, path: Path) -> bool:
    # fclonefileat creates the file itself, so the empty one is removed and `target` is made to refer to the clone.
    from ctypes import CDLL

    path.unlink()
    try:
        done = bool(CDLL(None).fclonefileat(source, _AT_FDCWD, os.fsencode(path), _CLONE_NOOWNERCOPY) == 0)
    except (OSError, AttributeError):
        done = False
    flags = os.O_RDONLY if done else os.O_RDWR | os.O_CREAT | os.O_EXCL
    fresh = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.dup2(fresh, target, inheritable=False)
    finally:
        os.close(fresh)
    return done
