"""What the processor of a Linux machine can do and the system lets programs use."""

from __future__ import annotations

from pathlib import Path

_NAMES = ("flags", "Features")  # as x86 and ARM have it


def instruction_sets(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Their names, such as avx2; none where they cannot be read. Those of the first core stand for all."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    known = (line.partition(":") for line in lines)
    return next((frozenset(value.split()) for name, _, value in known if name.strip() in _NAMES), frozenset())
