"""The download of one file: which pieces are being fetched, how often it failed, and when to try again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..repository import HubFile
from .hasher import BufferPool, Digests, Hasher
from .partial import Partial
from .spans import Spans
from .timeouts import Timeouts

_MIN_PIECE, _MAX_PIECE = 4 << 20, 64 << 20
_SHARES = 16
_MIN_PROGRESS = 1024


@dataclass(eq=False)
class FilePiece:
    """A byte range that one thread fetches. Bytes before `position` are written; `stale`: stop fetching it."""

    task: FileTask
    start: int
    stop: int
    slot: int
    began: float
    position: int
    stale: bool = False


@dataclass(eq=False)
class FileTask:
    """Guarded by the dispatcher's lock. `whole`: fetch in one piece without Range, because ranges failed.

    `wrong_contents` counts downloads of other content, `range_errors` consecutive responses of another range than
    requested, `failures` consecutive tries without progress.
    """

    file: HubFile
    url: str
    partial: Partial
    buffers: BufferPool
    timeouts: Timeouts
    finished: Callable[[FileTask, Digests | BaseException], None]
    whole: bool = False
    location: str | None = None
    status: str | None = None
    resumed: bool = field(init=False)
    restarting: bool = False
    complete: bool = False
    wrong_contents: int = 0
    range_errors: int = 0
    failures: int = 0
    not_before: float = 0.0
    pieces: set[FilePiece] = field(default_factory=set)
    hasher: Hasher = field(init=False)
    _failed_at: float = 0.0

    def __post_init__(self) -> None:
        self.resumed = self.partial.spans.total > 0
        self._start_hasher()

    @property
    def done(self) -> int:
        """Bytes that are written to disk."""
        return self.partial.spans.total

    def next_piece(self, now: float) -> FilePiece | None:
        """The next byte range to fetch, from the front; None when there is none, or not yet."""
        if self.restarting or self.complete or now < self.not_before or (self.whole and self.pieces):
            return None
        taken = self._covered()
        found = next(taken.gaps(self.file.size), None)
        if found is None:
            return None
        start, stop = found
        if self.whole:
            start, stop = 0, self.file.size
        else:
            # Smaller towards the end, so that the last threads finish together.
            length = max(_MIN_PIECE, min(_MAX_PIECE, (self.file.size - taken.total) // _SHARES))
            # A short rest is fetched with this piece.
            stop = stop if stop - start < length + _MIN_PIECE // 2 else start + length
        piece = FilePiece(self, start, stop, self.partial.slot(start), now, start)
        self.pieces.add(piece)
        return piece

    def has_work(self) -> bool:
        """Whether a further thread would find a piece to fetch."""
        return (
            not (self.restarting or self.complete or (self.whole and self.pieces))
            and self._covered().total < self.file.size
        )

    def progressed(self, piece: FilePiece) -> bool:
        """Whether a piece that ended brought enough bytes to count as progress."""
        return not self.whole and piece.position - piece.start >= min(_MIN_PROGRESS, piece.stop - piece.start)

    def failed(self, piece: FilePiece) -> None:
        """Count a failure; pieces that began before the last one failed for the same reason and do not count again."""
        now = time.monotonic()
        if self.progressed(piece):
            self.failures = 0
        elif piece.began >= self._failed_at:
            self.failures += 1
            self._failed_at = now
        self.not_before = max(self.not_before, now + self.timeouts.pause(self.failures))

    def request_restart(self, *, whole: bool) -> None:
        """Discard all bytes as soon as no thread writes any more."""
        self.whole |= whole
        self.restarting = True
        for piece in self.pieces:
            piece.stale = True

    def restart(self) -> None:
        """Only while no piece is being fetched."""
        self.hasher.stop()
        self.partial.clear()
        self.partial.allocate()
        self.resumed = self.restarting = False
        self._start_hasher()

    def _start_hasher(self) -> None:
        self.hasher = Hasher(self.partial, self.file, self.buffers, lambda outcome: self.finished(self, outcome))

    def _covered(self) -> Spans:
        """What is written or being fetched."""
        taken = self.partial.spans
        for piece in self.pieces:
            taken.add(piece.start, piece.stop)
        return taken
