"""The last lines of a log, read from its end and on into the files it was rotated to. Standard library only: the
command uses it when no daemon is running."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

_BLOCK = 65536
_MOST_FILES = 100


def rotated(path: Path, number: int) -> Path:
    """Where a log's content goes when it is full: `<name>.1` first, then on to 2 and so on; 0 is the log itself."""
    return path.with_name(f"{path.name}.{number}") if number else path


def tail(path: Path, count: int) -> tuple[list[str], int]:
    """The last `count` lines, the last one perhaps unfinished, and the offset in the log after them. Raises
    FileNotFoundError."""
    with open(path, "rb") as file:
        lines, end = _last(file, count)
    for number in range(1, _MOST_FILES):
        if len(lines) >= count:
            break
        try:
            with open(rotated(path, number), "rb") as file:
                lines = _last(file, count - len(lines))[0] + lines
        except FileNotFoundError:
            break
    return lines, end


def _last(file: BinaryIO, count: int) -> tuple[list[str], int]:
    end = start = file.seek(0, 2)
    data = b""
    while start > 0 and data.count(b"\n") <= count:
        start = max(0, start - _BLOCK)
        file.seek(start)
        data = file.read(end - start)
    lines = data.decode(errors="replace").splitlines()
    return (lines[-count:] if count else []), end
