"""One file on its way in: which pieces of it somebody fetches, how often it failed, and when to try again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..repository import HubFile
from .hasher import Buffers, Digests, Follower
from .partial import Partial
from .spans import Spans
from .timeouts import Patience

_SMALLEST, _LARGEST = 4 << 20, 64 << 20
_SHARES = 16
_PROGRESS = 1024


@dataclass(eq=False)
class Piece:
    """A stretch of a file that one stream fetches. `position`: everything before it is written. `stale`: give it up."""

    task: Task
    start: int
    stop: int
    slot: int
    began: float
    position: int
    stale: bool = False


@dataclass(eq=False)
class Task:
    """Guarded by the desk's lock. `whole`: in one piece, without Range, because ranges went wrong.

    `wrong` counts contents that were not the file's, `odd` answers in a row that were not the range asked for,
    `failures` tries in a row that brought nothing.
    """

    file: HubFile
    url: str
    partial: Partial
    buffers: Buffers
    patience: Patience
    finished: Callable[[Task, Digests | BaseException], None]
    whole: bool = False
    location: str | None = None
    status: str | None = None
    resumed: bool = field(init=False)
    restarting: bool = False
    complete: bool = False
    wrong: int = 0
    odd: int = 0
    failures: int = 0
    not_before: float = 0.0
    pieces: set[Piece] = field(default_factory=set)
    follower: Follower = field(init=False)
    _failed_at: float = 0.0

    def __post_init__(self) -> None:
        self.resumed = self.partial.spans.total > 0
        self._follow()

    @property
    def done(self) -> int:
        """Bytes of it that are on the disk."""
        return self.partial.spans.total

    def next_piece(self, now: float) -> Piece | None:
        """What to fetch next, from the front; None when there is nothing to do, or not yet."""
        if self.restarting or self.complete or now < self.not_before or (self.whole and self.pieces):
            return None
        taken = self._taken()
        found = next(taken.gaps(self.file.size), None)
        if found is None:
            return None
        start, stop = found
        if self.whole:
            start, stop = 0, self.file.size
        else:
            # Smaller towards the end, so that the last streams finish together.
            length = max(_SMALLEST, min(_LARGEST, (self.file.size - taken.total) // _SHARES))
            # No crumb is left over at the end.
            stop = stop if stop - start < length + _SMALLEST // 2 else start + length
        piece = Piece(self, start, stop, self.partial.slot(start), now, start)
        self.pieces.add(piece)
        return piece

    def waiting(self) -> bool:
        """Whether a further stream would find something to do."""
        return (
            not (self.restarting or self.complete or (self.whole and self.pieces))
            and self._taken().total < self.file.size
        )

    def progressed(self, piece: Piece) -> bool:
        """Whether a piece that ended brought anything worth counting."""
        return not self.whole and piece.position - piece.start >= min(_PROGRESS, piece.stop - piece.start)

    def failed(self, piece: Piece) -> None:
        """Pieces that began before the last failure failed for the same reason and do not count again."""
        now = time.monotonic()
        if self.progressed(piece):
            self.failures = 0
        elif piece.began >= self._failed_at:
            self.failures += 1
            self._failed_at = now
        self.not_before = max(self.not_before, now + self.patience.pause(self.failures))

    def begin_again(self, *, whole: bool) -> None:
        """Everything that is there is given up, once nobody writes any more."""
        self.whole |= whole
        self.restarting = True
        for piece in self.pieces:
            piece.stale = True

    def restart(self) -> None:
        """Only when no piece is out."""
        self.follower.stop()
        self.partial.clear()
        self.partial.allocate()
        self.resumed = self.restarting = False
        self._follow()

    def _follow(self) -> None:
        self.follower = Follower(self.partial, self.file, self.buffers, lambda outcome: self.finished(self, outcome))

    def _taken(self) -> Spans:
        """What is there or on its way."""
        taken = self.partial.spans
        for piece in self.pieces:
            taken.add(piece.start, piece.stop)
        return taken
