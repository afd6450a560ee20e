"""The end of the daemon's log, and lines as they are added."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from ...daemon.logs.sink import KEPT_FILES
from ..log_tail import rotated, tail
from .response_bodies import LogLine

_POLL_SECONDS = 0.25
_MOST_BYTES = 1 << 20


class LogReader:
    """Reads the whole lines added since the last read, through every rotation in between; starts over when the log was
    replaced by another file or truncated. `close` it."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._open(path, offset)

    def read_new(self) -> list[str]:
        """The lines of one file at most; a file that was rotated and is read to its end leads on to the next."""
        if self._file is None:
            self._open(self._path, 0)
            if self._file is None:
                return []
        newer = self._newer()  # asked first: nothing is written to a file after it was rotated
        at = self._file.tell()
        if os.fstat(self._file.fileno()).st_size < at:
            at = self._file.seek(0)
        data = self._file.read(_MOST_BYTES)
        whole = data.rfind(b"\n") + 1
        self._file.seek(at + whole)
        if not whole and newer is not None:
            self._open(newer, 0)
            return self.read_new()
        return data[:whole].decode(errors="replace").splitlines()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _newer(self) -> Path | None:
        """What was written after this file; None where it still is the log, or no other one has come yet."""
        assert self._file is not None
        own = os.fstat(self._file.fileno()).st_ino
        if _inode(self._path) in (own, None):
            return None
        for number in range(1, KEPT_FILES):
            if _inode(rotated(self._path, number)) == own:
                return rotated(self._path, number - 1)
        return self._path  # it is gone: deleted, or moved by another program

    def _open(self, path: Path, offset: int) -> None:
        self.close()
        try:
            self._file = open(path, "rb")  # noqa: SIM115 (read on by the next call)
        except FileNotFoundError:
            return
        self._file.seek(offset)


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
    if not follow:
        return
    reader = LogReader(path, offset)
    try:
        while not ended():
            found = await asyncio.to_thread(reader.read_new)
            for line in found:
                yield LogLine(line=line)
            if not found:
                await asyncio.sleep(_POLL_SECONDS)
    finally:
        reader.close()
