"""Identifies the current boot: bytes that were written but not synced may be lost in a power failure."""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path

_LINUX = Path("/proc/sys/kernel/random/boot_id")


@functools.cache
def session() -> bytes:
    """At most 40 bytes that change with every boot; b"" where the system has no such id."""
    if sys.platform == "darwin":
        return _mac()
    try:
        return _LINUX.read_bytes().strip()[:40]
    except OSError:
        return b""


def _mac() -> bytes:
    try:
        buffer = ctypes.create_string_buffer(64)
        size = ctypes.c_size_t(len(buffer))
        done = ctypes.CDLL(None).sysctlbyname(b"kern.bootsessionuuid", buffer, ctypes.byref(size), None, 0)
    except (OSError, AttributeError):
        return b""
    return buffer.value[:40] if done == 0 else b""
