"""Fetches files of a hub repository into the blobs: several at once, large ones in pieces, resumed, verified."""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from ...disk.blobs import Blob, Blobs
from ...disk.pins import Promised
from ..repository import HubFile, file_url
from .dialer import Dialer
from .dispatcher import Desk
from .fetch_thread import Site, Stream
from .file_task import Task
from .hasher import Buffers
from .partial import Partial, key_of
from .syncer import Syncer
from .totals import Tally

_STREAMS = 8
_BUFFERS = 16
_FILES = 8
_TICK = 0.1
_BEAT = 0.25
_END_SECONDS = 0.8
_CLOCK_GRAIN = 1.0


class Downloader:
    """Carries out downloads from one repository. Whoever calls holds the store's lock shared.

    `appeared`: looks whether a file has become a blob while another pull had it.
    """

    def __init__(
        self,
        site: Site,
        blobs: Blobs,
        promised: Promised,
        tally: Tally,
        appeared: Callable[[HubFile], Blob | None],
    ) -> None:
        self._site = site
        self._blobs = blobs
        self._promised = promised
        self._tally = tally
        self._appeared = appeared
        self._dialer = Dialer(site.endpoint.origin, site.patience)

    def fetch(self, files: Sequence[HubFile]) -> dict[str, Blob]:
        """The blobs by path. An exception, out of the report too, ends all threads; what came so far stays."""
        desk = Desk(self._site.endpoint, self._site.patience, self._name)
        return _Download(self._site, self._blobs, self._tally, self._appeared, self._dialer, desk).run(files)

    def _name(self, task: Task, hex_digest: str) -> Blob:
        """A verified file becomes a blob that no sweep takes before its manifest is there."""
        self._promised.add(hex_digest)
        return task.partial.settle(self._blobs, hex_digest)


class _Download:
    """One call of `fetch`."""

    def __init__(
        self,
        site: Site,
        blobs: Blobs,
        tally: Tally,
        appeared: Callable[[HubFile], Blob | None],
        dialer: Dialer,
        desk: Desk,
    ) -> None:
        self._site = site
        self._blobs = blobs
        self._tally = tally
        self._appeared = appeared
        self._dialer = dialer
        self._desk = desk
        self._buffers = Buffers(_BUFFERS)
        self._syncer = Syncer(desk)
        self._streams: list[Stream] = []
        self._looked = time.monotonic()
        self._tasks: list[Task] = []
        self._queue: deque[HubFile] = deque()
        self._waiting: set[str] = set()
        self._found: dict[str, Blob] = {}
        self._told: dict[str, tuple[str, int]] = {}
        self._fetched_before = tally.fetched
        self._began = time.time() - _CLOCK_GRAIN

    def run(self, files: Sequence[HubFile]) -> dict[str, Blob]:
        self._queue = deque(files)
        self._desk.wanted = max(1, min(_STREAMS // 2, len(files)))
        beat = 0.0
        self._syncer.start()
        try:
            while len(self._found) < len(files):
                self._open()
                self._desk.rewind()
                self._hire(self._desk.adjust(_STREAMS, self._waiting_share()))
                self._desk.wait(_TICK)
                self._tally.fetched = self._fetched_before + self._desk.bytes_fetched
                self._settle()
                if self._desk.failure is not None:
                    raise self._desk.failure
                told = self._tell()
                now = time.monotonic()
                if told or now - beat > _BEAT:
                    if not told:
                        # Whoever wants to end the pull does so by an exception, so there must be something to raise it.
                        self._tally.say("downloading")
                    beat = now
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
        """Begin further files; those that another pull has are looked at again and again."""
        for _ in range(len(self._queue)):
            if len(self._desk.tasks()) >= _FILES:
                return
            file = self._queue.popleft()
            partial = Partial.open(self._blobs.partial, key_of(file), file.size, self._blobs.disk)
            if partial is None:
                self._queue.append(file)
                if file.path not in self._waiting:
                    self._waiting.add(file.path)
                    self._tally.tell("waiting for another pull", file, 0)
                continue
            if self._others(file) and (blob := self._look(partial, file)) is not None:
                self._found[file.path] = blob
                self._tally.tell("already here", file, file.size, blob.digest)
                continue
            try:
                partial.allocate()
            except BaseException:
                partial.close()
                raise
            url = file_url(self._site.endpoint, self._site.repository, file.path)
            task = Task(file, url, partial, self._buffers, self._site.patience, self._desk.finished)
            self._tasks.append(task)
            self._desk.add(task)

    def _others(self, file: HubFile) -> bool:
        """Whether another pull may have finished the file since this one looked."""
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
            partial.drop_if_empty()
            partial.close()
        return blob

    def _hire(self, count: int) -> None:
        self._streams = [stream for stream in self._streams if stream.is_alive()]
        for _ in range(count):
            stream = Stream(self._site, self._desk, self._dialer, self._buffers)
            self._desk.hired()
            self._streams.append(stream)
            stream.start()

    def _waiting_share(self) -> float | None:
        """How much of their time the streams waited for the line since the last look; None: too early to say."""
        now = time.monotonic()
        if now - self._looked < _TICK / 2 or not self._streams:
            return None
        there = (now - self._looked) * len(self._streams)
        self._looked = now
        return sum(stream.waits.since() for stream in self._streams) / there

    def _settle(self) -> None:
        for task, blob in self._desk.settled():
            self._found[task.file.path] = blob
            task.follower.stop()
            task.partial.close()
            self._tasks.remove(task)
            self._tally.tell("stored", task.file, task.file.size, blob.digest)

    def _tell(self) -> bool:
        told = False
        for task in self._desk.tasks():
            now = (task.status or "downloading", task.done)
            if self._told.get(task.file.path) != now:
                self._told[task.file.path] = now
                self._tally.tell(now[0], task.file, now[1])
                told = True
        return told

    def _end(self) -> None:
        """All threads end; a stream that hangs in a call that nobody can interrupt gives its file back when it can."""
        self._desk.stop()
        self._syncer.end()
        ending = threading.Thread(target=self._close, name="hub-end", daemon=True)
        ending.start()
        ending.join(_END_SECONDS)

    def _close(self) -> None:
        for stream in self._streams:
            stream.join()
        for task in self._tasks:
            task.follower.stop()
            task.partial.close()
        self._buffers.close()
