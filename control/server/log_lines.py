"""The end of the daemon's log, and lines as they are added."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from ..log_tail import tail
from .bodies import LogLine

_POLL_SECONDS = 0.25
_MOST_BYTES = 1 << 20


class LogReader:
    """Reads the whole lines added since the last read; starts over when the file was replaced or truncated."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._offset = offset
        self._inode = _inode(path)

    def read_new(self) -> list[str]:
        inode = _inode(self._path)
        if inode is None:
            return []
        if inode != self._inode or self._path.stat().st_size < self._offset:
            self._inode, self._offset = inode, 0
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            data = file.read(_MOST_BYTES)
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        return data[:whole].decode(errors="replace").splitlines()


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


async def lines(path: Path, count: int, follow: bool, ended: Callable[[], bool]) -> AsyncIterator[LogLine]:
    """The last `count` lines, then, with `follow`, new ones until `ended()`. Raises FileNotFoundError."""
    last, offset = await asyncio.to_thread(tail, path, count)
    for line in last:
        yield LogLine(line=line)
    reader = LogReader(path, offset)
    while follow and not ended():
        for line in await asyncio.to_thread(reader.read_new):
            yield LogLine(line=line)
        await asyncio.sleep(_POLL_SECONDS)
