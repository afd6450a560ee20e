"""Fetches files of a hub repository into the blobs: several at once, large ones in pieces, resumed, verified."""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from ...disk.blobs import Blob, Blobs
from ...disk.pins import Pins
from ..repository import HubFile, file_url
from .dialer import Dialer
from .dispatcher import Dispatcher
from .fetch_thread import FetchSource, FetchThread
from .file_task import FileTask
from .hasher import BufferPool
from .partial import Partial, key_of
from .syncer import Syncer
from .totals import Totals

_MAX_THREADS = 8
_BUFFERS = 16
_MAX_FILES = 8
_POLL_SECONDS = 0.1
_REPORT_SECONDS = 0.25
_END_SECONDS = 0.8
_CLOCK_RESOLUTION = 1.0


class Downloader:
    """Downloads files of one repository. The caller holds the store's lock shared.

    `appeared`: finds the blob of a file that another pull has finished in the meantime.
    """

    def __init__(
        self,
        source: FetchSource,
        blobs: Blobs,
        pins: Pins,
        totals: Totals,
        appeared: Callable[[HubFile], Blob | None],
    ) -> None:
        self._source = source
        self._blobs = blobs
        self._pins = pins
        self._totals = totals
        self._appeared = appeared
        self._dialer = Dialer(source.endpoint.origin, source.timeouts)

    def fetch(self, files: Sequence[HubFile]) -> dict[str, Blob]:
        """The blobs by path. An exception, also one raised by the report, ends all threads; partial files are kept."""
        dispatcher = Dispatcher(self._source.endpoint, self._source.timeouts, self._commit)
        return _Download(self._source, self._blobs, self._totals, self._appeared, self._dialer, dispatcher).run(files)

    def _commit(self, task: FileTask, hex_digest: str) -> Blob:
        """Make a verified file a blob, pinned so that no sweep removes it before its manifest is written."""
        self._pins.add(hex_digest)
        return task.partial.commit(self._blobs, hex_digest)


class _Download:
    """One call of `fetch`."""

    def __init__(
        self,
        source: FetchSource,
        blobs: Blobs,
        totals: Totals,
        appeared: Callable[[HubFile], Blob | None],
        dialer: Dialer,
        dispatcher: Dispatcher,
    ) -> None:
        self._source = source
        self._blobs = blobs
        self._totals = totals
        self._appeared = appeared
        self._dialer = dialer
        self._dispatcher = dispatcher
        self._buffers = BufferPool(_BUFFERS)
        self._syncer = Syncer(dispatcher)
        self._threads: list[FetchThread] = []
        self._measured = time.monotonic()
        self._tasks: list[FileTask] = []
        self._queue: deque[HubFile] = deque()
        self._waiting: set[str] = set()
        self._found: dict[str, Blob] = {}
        self._reported: dict[str, tuple[str, int]] = {}
        self._fetched_before = totals.fetched
        self._began = time.time() - _CLOCK_RESOLUTION

    def run(self, files: Sequence[HubFile]) -> dict[str, Blob]:
        self._queue = deque(files)
        self._dispatcher.target_threads = max(1, min(_MAX_THREADS // 2, len(files)))
        last_report = 0.0
        self._syncer.start()
        try:
            while len(self._found) < len(files):
                self._open()
                self._dispatcher.restart_files()
                self._start_threads(self._dispatcher.threads_to_add(_MAX_THREADS, self._wait_share()))
                self._dispatcher.wait(_POLL_SECONDS)
                self._totals.fetched = self._fetched_before + self._dispatcher.bytes_fetched
                self._collect()
                if self._dispatcher.failure is not None:
                    raise self._dispatcher.failure
                reported = self._report_files()
                now = time.monotonic()
                if reported or now - last_report > _REPORT_SECONDS:
                    if not reported:
                        # The report may raise to cancel the pull, so it is called even without news.
                        self._totals.report("downloading")
                    last_report = now
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                missing = sum(file.size for file in files if file.path not in self._found)
                missing -= sum(task.done for task in self._tasks)
                raise self._blobs.disk.full(self._blobs.folder, missing) from error
            raise
        finally:
            self._end()
        return self._found

    def _open(self) -> None:
        """Start further files; those that another pull holds are tried again each time."""
        for _ in range(len(self._queue)):
            if len(self._dispatcher.tasks()) >= _MAX_FILES:
                return
            file = self._queue.popleft()
            partial = Partial.open(self._blobs.partial, key_of(file), file.size, self._blobs.disk)
            if partial is None:
                self._queue.append(file)
                if file.path not in self._waiting:
                    self._waiting.add(file.path)
                    self._totals.report_file("waiting for another pull", file, 0)
                continue
            if self._maybe_finished_elsewhere(file) and (blob := self._look(partial, file)) is not None:
                self._found[file.path] = blob
                self._totals.report_file("already here", file, file.size, blob.digest)
                continue
            try:
                partial.allocate()
            except BaseException:
                partial.close()
                raise
            url = file_url(self._source.endpoint, self._source.repository, file.path)
            task = FileTask(file, url, partial, self._buffers, self._source.timeouts, self._dispatcher.finished)
            self._tasks.append(task)
            self._dispatcher.add(task)

    def _maybe_finished_elsewhere(self, file: HubFile) -> bool:
        """Whether another pull may have finished the file since this one last checked."""
        if file.path in self._waiting or file.sha256 is None:
            return file.path in self._waiting
        try:
            return self._blobs.path(file.sha256).lstat().st_ctime >= self._began
        except OSError:
            return False

    def _look(self, partial: Partial, file: HubFile) -> Blob | None:
        try:
            blob = self._appeared(file)
        except BaseException:
            partial.close()
            raise
        if blob is not None:
            partial.discard_if_empty()
            partial.close()
        return blob

    def _start_threads(self, count: int) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for _ in range(count):
            thread = FetchThread(self._source, self._dispatcher, self._dialer, self._buffers)
            self._dispatcher.thread_started()
            self._threads.append(thread)
            thread.start()

    def _wait_share(self) -> float | None:
        """How much of their time the threads waited for the network since the last call; None: too early to say."""
        now = time.monotonic()
        if now - self._measured < _POLL_SECONDS / 2 or not self._threads:
            return None
        there = (now - self._measured) * len(self._threads)
        self._measured = now
        return sum(thread.wait_time.since() for thread in self._threads) / there

    def _collect(self) -> None:
        for task, blob in self._dispatcher.take_committed():
            self._found[task.file.path] = blob
            task.hasher.stop()
            task.partial.close()
            self._tasks.remove(task)
            self._totals.report_file("stored", task.file, task.file.size, blob.digest)

    def _report_files(self) -> bool:
        reported = False
        for task in self._dispatcher.tasks():
            now = (task.status or "downloading", task.done)
            if self._reported.get(task.file.path) != now:
                self._reported[task.file.path] = now
                self._totals.report_file(now[0], task.file, now[1])
                reported = True
        return reported

    def _end(self) -> None:
        """End all threads. One that is inside an uninterruptible call closes its file when the call returns."""
        self._dispatcher.stop()
        self._syncer.end()
        ending = threading.Thread(target=self._close, name="hub-end", daemon=True)
        ending.start()
        ending.join(_END_SECONDS)

    def _close(self) -> None:
        for thread in self._threads:
            thread.join()
        for task in self._tasks:
            task.hasher.stop()
            task.partial.close()
        self._buffers.close()
