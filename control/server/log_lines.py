"""The end of the daemon's log, and what is added to it, line by line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from ..log_tail import tail
from .bodies import LogLine

_POLL_SECONDS = 0.25
_MOST_BYTES = 1 << 20


class Follower:
    """Reads whole lines that were added since the last look; starts over when the file was replaced or cut."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._offset = offset
        self._inode = _inode(path)

    def news(self) -> list[str]:
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


async def lines(path: Path, count: int, follow: bool, over: Callable[[], bool]) -> AsyncIterator[LogLine]:
    """The last `count` lines, then, with `follow`, new ones until `over()`. Raises FileNotFoundError."""
    last, offset = await asyncio.to_thread(tail, path, count)
    for line in last:
        yield LogLine(line=line)
    follower = Follower(path, offset)
    while follow and not over():
        for line in await asyncio.to_thread(follower.news):
            yield LogLine(line=line)
        await asyncio.sleep(_POLL_SECONDS)
