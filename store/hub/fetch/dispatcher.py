"""Which stream fetches which piece, and what a failure means for the file and for the pull. Touches no socket."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from ...disk.blobs import Blob
from ...errors import HubUnreachable, StoreError, WrongContent
from ..refusals import span, unreachable
from ..remote import Endpoint
from .file_task import Piece, Task
from .hasher import Digests
from .reply import Expired, Limited, NoRanges, Refused, WrongBody
from .timeouts import Lost, Patience, Stopped

_IDLE = 0.2
_MAX_WRONG = 2
_MAX_ODD = 2
_BUSY, _IDLING = 0.1, 0.5


class Desk:
    """The state that all threads of one download share, under one lock. `name` makes a blob of a verified file."""

    def __init__(self, endpoint: Endpoint, patience: Patience, name: Callable[[Task, str], Blob]) -> None:
        self._endpoint = endpoint
        self._patience = patience
        self._name = name
        self._changed = threading.Condition()
        self._tasks: list[Task] = []
        self._settled: deque[tuple[Task, Blob]] = deque()
        self._working = 0
        self._paused_until = 0.0
        self._rate_waited = 0.0
        self.stopped = False
        self.wanted = 1
        self.bytes_fetched = 0
        self.failure: BaseException | None = None

    # for the thread that pulls

    def add(self, task: Task) -> None:
        with self._changed:
            self._tasks.append(task)
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Until there is news, at most so long."""
        with self._changed:
            if not self._settled and self.failure is None:
                self._changed.wait(seconds)

    def settled(self) -> list[tuple[Task, Blob]]:
        """Files that are blobs now, each told once."""
        with self._changed:
            found = list(self._settled)
            self._settled.clear()
            for task, _ in found:
                self._tasks.remove(task)
            return found

    def tasks(self) -> list[Task]:
        with self._changed:
            return list(self._tasks)

    def rewind(self) -> None:
        """Begin those files again that went wrong, once nobody writes to them."""
        with self._changed:
            ready = [task for task in self._tasks if task.restarting and not task.pieces]
        for task in ready:
            task.restart()
        if ready:
            with self._changed:
                self._changed.notify_all()

    def adjust(self, limit: int, waiting: float | None) -> int:
        """How many streams to add, when those that are there spent this share of their time `waiting` for the line.

        Where the disk or the digest holds things up, more of them would only get into each other's way.
        """
        with self._changed:
            if waiting is not None and waiting < _BUSY:
                self.wanted = max(1, self.wanted - 1)
            elif waiting is not None and waiting > _IDLING and any(task.waiting() for task in self._tasks):
                self.wanted = min(limit, self.wanted + 1)
            self._changed.notify_all()
            return max(0, self.wanted - self._working)

    def hired(self) -> None:
        with self._changed:
            self._working += 1

    def stop(self) -> None:
        with self._changed:
            self.stopped = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self._changed:
            self._fail(error)

    def rate_pause(self) -> float:
        """Seconds until the hub's limit allows to go on; 0 when there is none."""
        return max(0.0, self._paused_until - time.monotonic())

    # for the streams

    def take(self) -> Piece | None:
        with self._changed:
            while not self.stopped and self._working <= self.wanted:
                now = time.monotonic()
                if now >= self._paused_until:
                    for task in self._tasks:
                        if (piece := task.next_piece(now)) is not None:
                            return piece
                self._changed.wait(_IDLE)
            self._working -= 1
            return None

    def fetched(self, piece: Piece, count: int) -> None:
        with self._changed:
            self.bytes_fetched += count
            piece.task.status = None

    def give_back(self, piece: Piece, outcome: BaseException | None) -> None:
        task = piece.task
        with self._changed:
            task.pieces.discard(piece)
            try:
                if outcome is None:
                    task.failures = task.odd = 0
                elif not isinstance(outcome, Stopped) and not piece.stale and not task.complete:
                    self._consider(task, piece, outcome)
            except StoreError as error:
                self._fail(error)
            self._changed.notify_all()

    # for the threads that take digests

    def finished(self, task: Task, outcome: Digests | BaseException) -> None:
        """A file is there to the last byte: give it its name, or begin again."""
        with self._changed:
            if isinstance(outcome, BaseException):
                return self._fail(outcome)
            if task.restarting:
                return None
            if not outcome.fit(task.file):
                return self._doubt(task, outcome)
            # From here on nobody may write to it or cut it off: it is about to be a blob.
            task.complete = True
        try:
            blob = self._name(task, outcome.sha256)
        except BaseException as error:
            with self._changed:
                return self._fail(error)
        with self._changed:
            self._settled.append((task, blob))
            self._changed.notify_all()
        return None

    # inside

    def _doubt(self, task: Task, found: Digests) -> None:
        """What an earlier pull left may have been bad, so that does not count."""
        if task.resumed:
            task.begin_again(whole=False)
        else:
            wanted = f"sha256:{task.file.sha256}" if task.file.sha256 else f"git id {task.file.git_id}"
            actual = f"sha256:{found.sha256}" if task.file.sha256 else f"git id {found.git}"
            self._wrong(task, f"digest mismatch, expected {wanted}, got {actual}")
        self._changed.notify_all()

    def _wrong(self, task: Task, what: str) -> None:
        task.wrong += 1
        if task.wrong < _MAX_WRONG:
            task.status = "wrong content, trying again"
            return task.begin_again(whole=True)
        task.partial.discard()
        return self._fail(
            WrongContent(
                f"{task.file.path} is not what the hub listed: {what}",
                hint="pull again later; check HF_ENDPOINT, and whether a proxy or a portal answers in the hub's place",
            )
        )

    def _consider(self, task: Task, piece: Piece, outcome: BaseException) -> None:
        if isinstance(outcome, Expired):
            return None
        if isinstance(outcome, Limited):
            return self._limited(task, outcome)
        if isinstance(outcome, WrongBody):
            return self._wrong(task, str(outcome))
        if isinstance(outcome, NoRanges) and not task.whole:
            # One machine of many may be odd; asked again, another one answers.
            task.odd += 1
            task.location = None
            if task.odd >= _MAX_ODD:
                return task.begin_again(whole=True)
        if not isinstance(outcome, (Lost, NoRanges)):
            return self._fail(outcome)
        task.failed(piece)
        task.status = "connection lost, trying again"
        if task.whole:
            task.begin_again(whole=True)
        if task.failures >= self._patience.tries:
            error = outcome.error if isinstance(outcome, Refused) else self._gave_up(task, str(outcome))
            self._fail(error)
        return None

    def _gave_up(self, task: Task, reason: str) -> HubUnreachable:
        return unreachable(self._endpoint, f"{task.file.path}: {reason}, {self._patience.tries} times in a row")

    def _limited(self, task: Task, limited: Limited) -> None:
        """Wait as told, as long as all waiting together is bearable; several streams are told at once."""
        said = limited.until - time.time() if limited.until is not None else self._patience.unsaid_rate_pause
        until = time.monotonic() + max(0.0, said)
        more = until - max(self._paused_until, time.monotonic())
        if more > 0:
            self._rate_waited += more
            if self._rate_waited > self._patience.rate_wait:
                return self._fail(limited.error)
            self._paused_until = until
        task.status = f"rate limited, going on in {span(self.rate_pause())}"
        return None

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
        self.stopped = True
        self._changed.notify_all()
