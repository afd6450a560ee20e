"""Neighbouring blocks that come from the disk together: memory for them, the threads that fill it, and what came.

It knows nothing of prompts, nor of how much time there is: each call does a little.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

import mlx.core as mx

from ...layers import Parts, columns
from ..block_bytes import Restored
from ..block_file import BlockFile, DamagedBlock
from .block_reader import BlockReader, Found
from .landing import Landing

_PIECES = 8  # of memory that are allocated at the same time
_LATER = 2  # steps
_STEP_BYTES = 16 << 20  # of large pieces that are allocated during a step


class BlockRun:
    """Whole blocks, or the end of a text. First `prepare` is called until threads read, then `take` until it is
    `complete`; `restored` are then the first ones of `found`, all of them unless it is `broken`."""

    def __init__(self, found: Sequence[Found], landing: Landing) -> None:
        self.found = found
        self.landing = landing
        self.restored: list[Restored] = []
        self.broken = False  # what follows `restored` is not what was looked for
        self.complete = False  # all that comes has come
        self.over = False  # and nothing of it is to be done any more
        self.files: list[Future[BlockFile | None]] = []
        self._due: deque[int] = deque()  # the steps from which on pieces of its memory are there

    @property
    def busy(self) -> bool:
        """Whether a thread may be writing into its memory."""
        return not all(one.done() for one in self.files)

    @property
    def arrived(self) -> int:
        """How many of its files threads are done with."""
        return sum(one.done() for one in self.files)

    def prepare(self, reader: BlockReader, step: int, *, decoding: bool) -> bool:
        """A little of what comes before it is read; whether there was anything to do. `step`: a number that grows;
        where others are `decoding`, memory is looked at some steps after it was begun, when it is there. Raises
        RuntimeError or MemoryError where there is no memory."""
        if self.landing.ready:
            rooms = map(self.landing.room, range(len(self.found)))
            self.files = [reader.read(one.name, room) for one, room in zip(self.found, rooms, strict=True)]
        elif len(self._due) < _PIECES and self.landing.begin():
            self._due.append(step + _LATER + self.landing.begun // _STEP_BYTES)
        elif self.landing.there and not (self._due and decoding and self._due[0] > step):
            if self._due:
                self._due.popleft()
            self.landing.look()
        else:
            return False
        return True

    def take(self) -> bool:
        """A little of what has come; False where the next file has not."""
        if self.restored and not self.restored[-1].advance():
            return True
        if len(self.restored) < len(self.files) and not self.broken:
            future = self.files[len(self.restored)]
            if not future.done():
                return False
            file = _result(future)
            if file is not None:
                self.restored.append(Restored(file, self.landing.layout))
                return True
            self.broken = True
            for one in self.files:
                one.cancel()
        if self.restored and not self.landing.settled:
            self.landing.settle()
        else:
            self.complete = True
        return True

    def parts(self) -> Parts:
        """The columns of what was restored, of all of it in one piece of memory."""
        parts = self.landing.parts()
        count = len(self.restored)
        if count == len(self.found):
            return parts
        covered = sum(one.tokens for one in self.found[:count])
        return tuple(
            None if pair is None else (mx.contiguous(pair[0]), mx.contiguous(pair[1]))
            for pair in columns(parts, 0, covered)
        )


def _result(future: Future[BlockFile | None]) -> BlockFile | None:
    try:
        return future.result()
    except (DamagedBlock, OSError, MemoryError):
        return None
