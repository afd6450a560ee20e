"""Which thread fetches which piece, and what a failure means for the file and for the pull. Knows no socket."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from ...disk.blobs import Blob
from ...errors import HubUnreachable, StoreError, WrongContent
from ..hub_endpoint import HubEndpoint
from ..hub_errors import duration_text, unreachable_error
from .file_task import FilePiece, FileTask
from .hasher import Digests
from .response_checks import RangeNotServed, TemporaryRefusal, TooManyRequests, UrlExpired, WrongBody
from .timeouts import ConnectionLost, FetchStopped, Timeouts

_POLL_SECONDS = 0.2
_MAX_WRONG = 2
_MAX_RANGE_ERRORS = 2
_LOW_WAIT, _HIGH_WAIT = 0.1, 0.5


class Dispatcher:
    """The state that all threads of one download share, under one lock. `commit` makes a blob of a verified file."""

    def __init__(self, endpoint: HubEndpoint, timeouts: Timeouts, commit: Callable[[FileTask, str], Blob]) -> None:
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._commit = commit
        self._changed = threading.Condition()
        self._tasks: list[FileTask] = []
        self._committed: deque[tuple[FileTask, Blob]] = deque()
        self._threads = 0
        self._paused_until = 0.0
        self._rate_wait_total = 0.0
        self.stopped = False
        self.target_threads = 1
        self.bytes_fetched = 0
        self.failure: BaseException | None = None

    # --- for the thread that pulls

    def add(self, task: FileTask) -> None:
        with self._changed:
            self._tasks.append(task)
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait for a stored file or a failure, at most `seconds`."""
        with self._changed:
            if not self._committed and self.failure is None:
                self._changed.wait(seconds)

    def take_committed(self) -> list[tuple[FileTask, Blob]]:
        """Files that have become blobs since the last call."""
        with self._changed:
            found = list(self._committed)
            self._committed.clear()
            for task, _ in found:
                self._tasks.remove(task)
            return found

    def tasks(self) -> list[FileTask]:
        with self._changed:
            return list(self._tasks)

    def restart_files(self) -> None:
        """Restart the files that need it, as soon as no thread writes to them."""
        with self._changed:
            ready = [task for task in self._tasks if task.restarting and not task.pieces]
        for task in ready:
            task.restart()
        if ready:
            with self._changed:
                self._changed.notify_all()

    def threads_to_add(self, limit: int, wait_share: float | None) -> int:
        """How many threads to start; `wait_share`: how much of their time the present ones waited for the network.

        Where disk or hashing is the bottleneck, more connections would only compete.
        """
        with self._changed:
            if wait_share is not None and wait_share < _LOW_WAIT:
                self.target_threads = max(1, self.target_threads - 1)
            elif wait_share is not None and wait_share > _HIGH_WAIT and any(task.has_work() for task in self._tasks):
                self.target_threads = min(limit, self.target_threads + 1)
            self._changed.notify_all()
            return max(0, self.target_threads - self._threads)

    def thread_started(self) -> None:
        with self._changed:
            self._threads += 1

    def stop(self) -> None:
        with self._changed:
            self.stopped = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self._changed:
            self._fail(error)

    def rate_pause(self) -> float:
        """Seconds until the hub's rate limit allows further requests; 0 when there is none."""
        return max(0.0, self._paused_until - time.monotonic())

    # --- for the fetch threads

    def take(self) -> FilePiece | None:
        with self._changed:
            while not self.stopped and self._threads <= self.target_threads:
                now = time.monotonic()
                if now >= self._paused_until:
                    for task in self._tasks:
                        if (piece := task.next_piece(now)) is not None:
                            return piece
                self._changed.wait(_POLL_SECONDS)
            self._threads -= 1
            return None

    def fetched(self, piece: FilePiece, count: int) -> None:
        with self._changed:
            self.bytes_fetched += count
            piece.task.status = None

    def give_back(self, piece: FilePiece, outcome: BaseException | None) -> None:
        task = piece.task
        with self._changed:
            task.pieces.discard(piece)
            try:
                if outcome is None:
                    task.failures = task.range_errors = 0
                elif not isinstance(outcome, FetchStopped) and not piece.stale and not task.complete:
                    self._handle_failure(task, piece, outcome)
            except StoreError as error:
                self._fail(error)
            self._changed.notify_all()

    # --- for the hashers

    def finished(self, task: FileTask, outcome: Digests | BaseException) -> None:
        """A file is complete: commit it as a blob, or fetch it again."""
        with self._changed:
            if isinstance(outcome, BaseException):
                return self._fail(outcome)
            if task.restarting:
                return None
            if not outcome.matches(task.file):
                return self._digest_mismatch(task, outcome)
            # From here on nothing may write to it or truncate it: it is about to become a blob.
            task.complete = True
        try:
            blob = self._commit(task, outcome.sha256)
        except BaseException as error:
            with self._changed:
                return self._fail(error)
        with self._changed:
            self._committed.append((task, blob))
            self._changed.notify_all()
        return None

    # --- internal

    def _digest_mismatch(self, task: FileTask, found: Digests) -> None:
        """Bytes of an earlier pull may have been damaged, so a mismatch after a resume is not the hub's fault."""
        if task.resumed:
            task.request_restart(whole=False)
        else:
            expected = f"sha256:{task.file.sha256}" if task.file.sha256 else f"git id {task.file.git_id}"
            actual = f"sha256:{found.sha256}" if task.file.sha256 else f"git id {found.git}"
            self._wrong_content(task, f"digest mismatch, expected {expected}, got {actual}")
        self._changed.notify_all()

    def _wrong_content(self, task: FileTask, what: str) -> None:
        task.wrong_contents += 1
        if task.wrong_contents < _MAX_WRONG:
            task.status = "wrong content, trying again"
            return task.request_restart(whole=True)
        task.partial.discard()
        return self._fail(
            WrongContent(
                f"{task.file.path} is not the file that the hub listed: {what}",
                hint="pull again later; check HF_ENDPOINT, and whether a proxy or a login page answers for the hub",
            )
        )

    def _handle_failure(self, task: FileTask, piece: FilePiece, outcome: BaseException) -> None:
        if isinstance(outcome, UrlExpired):
            return None
        if isinstance(outcome, TooManyRequests):
            return self._rate_limited(task, outcome)
        if isinstance(outcome, WrongBody):
            return self._wrong_content(task, str(outcome))
        if isinstance(outcome, RangeNotServed) and not task.whole:
            # One server of many may be faulty; another request may reach another one.
            task.range_errors += 1
            task.location = None
            if task.range_errors >= _MAX_RANGE_ERRORS:
                return task.request_restart(whole=True)
        if not isinstance(outcome, (ConnectionLost, RangeNotServed)):
            return self._fail(outcome)
        task.failed(piece)
        task.status = "connection lost, trying again"
        if task.whole:
            task.request_restart(whole=True)
        if task.failures >= self._timeouts.tries:
            error = (
                outcome.error if isinstance(outcome, TemporaryRefusal) else self._tries_exhausted(task, str(outcome))
            )
            self._fail(error)
        return None

    def _tries_exhausted(self, task: FileTask, reason: str) -> HubUnreachable:
        return unreachable_error(self._endpoint, f"{task.file.path}: {reason}, {self._timeouts.tries} times in a row")

    def _rate_limited(self, task: FileTask, limited: TooManyRequests) -> None:
        """Pause as long as the hub asks, within a limit for the whole pull; several threads get the same answer."""
        said = limited.until - time.time() if limited.until is not None else self._timeouts.default_rate_pause
        until = time.monotonic() + max(0.0, said)
        more = until - max(self._paused_until, time.monotonic())
        if more > 0:
            self._rate_wait_total += more
            if self._rate_wait_total > self._timeouts.rate_wait:
                return self._fail(limited.error)
            self._paused_until = until
        task.status = f"rate limited, continuing in {duration_text(self.rate_pause())}"
        return None

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
        self.stopped = True
        self._changed.notify_all()
