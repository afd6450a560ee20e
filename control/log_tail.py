"""The last lines of a file, read from its end. Standard library only: the command uses it when no daemon is running."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = 65536


def tail(path: Path, count: int) -> tuple[list[str], int]:
    """The last `count` lines, the last one perhaps unfinished, and the offset after them. Raises FileNotFoundError."""
    with open(path, "rb") as file:
        end = start = file.seek(0, 2)
        data = b""
        while start > 0 and data.count(b"\n") <= count:
            start = max(0, start - _BLOCK)
            file.seek(start)
            data = file.read(end - start)
    lines = data.decode(errors="replace").splitlines()
    return (lines[-count:] if count else []), end
