"""One thread of a download: it fetches piece after piece and checks every response before it stores a byte."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol

from ...errors import HubUnreachable
from ..hub_endpoint import HubEndpoint, origin
from ..hub_errors import TRANSIENT, resume_at, status_error
from ..repository import Repository
from .dialer import Dialer
from .file_task import FilePiece
from .hasher import BufferPool
from .http_client import HttpClient, HttpResponse
from .response_checks import (
    RangeNotServed,
    TemporaryRefusal,
    TooManyRequests,
    UrlExpired,
    WrongBody,
    check_pinned,
    checked_stop,
    content_kind,
    is_whole,
    redirect_target,
)
from .timeouts import ConnectionLost, FetchStopped, Timeouts, WaitTime, Watchdog

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_FLUSH_SECONDS = 0.1


class PieceQueue(Protocol):
    """Hands out pieces and takes back what became of them."""

    stopped: bool

    def take(self) -> FilePiece | None: ...
    def fetched(self, piece: FilePiece, count: int) -> None: ...
    def give_back(self, piece: FilePiece, outcome: BaseException | None) -> None: ...


@dataclass(frozen=True)
class FetchSource:
    """Where a repository's files are, with which token, and how long to wait for them."""

    endpoint: HubEndpoint
    repository: Repository
    timeouts: Timeouts


class FetchThread(threading.Thread):
    """Ends when the queue has no piece for it."""

    def __init__(self, source: FetchSource, queue: PieceQueue, dialer: Dialer, buffers: BufferPool) -> None:
        super().__init__(name="hub-fetch", daemon=True)
        self._source = source
        self._queue = queue
        self._buffers = buffers
        self._client = HttpClient(dialer)
        self.wait_time = WaitTime()

    def run(self) -> None:
        try:
            while (piece := self._queue.take()) is not None:
                outcome: BaseException | None = None
                try:
                    self._fetch(piece)
                except BaseException as error:
                    outcome = error
                    self._client.close()
                self._queue.give_back(piece, outcome)
        finally:
            self._client.close()

    def _fetch(self, piece: FilePiece) -> None:
        stopped = lambda: self._queue.stopped or piece.stale  # noqa: E731
        watchdog = Watchdog(stopped, self._source.timeouts, self.wait_time)
        response = self._request(piece, watchdog)
        stop = checked_stop(response, piece)
        while piece.position < stop:
            buffer = self._buffers.take(stopped)
            if buffer is None:
                raise FetchStopped
            failure = None
            count = 0
            began = time.monotonic()
            try:
                room = min(len(buffer), stop - piece.position)
                while count < room and time.monotonic() - began < _FLUSH_SECONDS:
                    # Received bytes are stored before the thread waits for more.
                    got = response.read_into(buffer[count:room], wait=count == 0)
                    if got is None:
                        break
                    if got == 0:
                        raise ConnectionLost("the response ended too early")
                    count += got
            except BaseException as error:
                failure = error
            self._store(piece, buffer, count)
            if failure is not None:
                raise failure
        if response.length is None and response.read_into(memoryview(bytearray(1))):
            raise WrongBody(f"the server sends more than {piece.stop} bytes{content_kind(response)}")
        response.finish(response.length is not None)

    def _store(self, piece: FilePiece, buffer: memoryview, count: int) -> None:
        if count == 0 or piece.stale:
            return self._buffers.release(buffer)
        position = piece.position
        try:
            piece.task.partial.write(piece.slot, position, buffer[:count])
        except BaseException:
            self._buffers.release(buffer)
            raise
        piece.position += count
        self._queue.fetched(piece, count)
        return piece.task.hasher.feed(position, buffer, count)

    def _request(self, piece: FilePiece, watchdog: Watchdog) -> HttpResponse:
        """A response of status 200 or 206, redirects followed, from the host that the hub names for the file."""
        task, endpoint = piece.task, self._source.endpoint
        known = task.location
        url = known or task.url
        away = known is not None
        for _ in range(_MAX_REDIRECTS + 1):
            headers = {}
            if not is_whole(piece):
                headers["Range"] = f"bytes={piece.start}-{piece.stop - 1}"
            home = not away and origin(url) == endpoint.origin
            if home and endpoint.token is not None:
                headers["Authorization"] = f"Bearer {endpoint.token}"
            response = self._client.get(url, headers, watchdog)
            if home and response.status < 400:
                check_pinned(self._source.repository, task.file, response)
            if response.status not in _REDIRECTS:
                if response.status not in (200, 206):
                    raise self._failure_of(piece, response, home=home, known=known)
                if away:
                    task.location = url
                return response
            url = redirect_target(url, response.headers.get("location"), endpoint)
            away |= origin(url) != endpoint.origin
            response.skip()
        raise HubUnreachable(f"the hub answered with more than {_MAX_REDIRECTS} redirects for {task.file.path}")

    def _failure_of(self, piece: FilePiece, response: HttpResponse, *, home: bool, known: str | None) -> Exception:
        """The error for a response that does not carry the file."""
        path, status, repository = piece.task.file.path, response.status, self._source.repository
        if status == 416:
            return RangeNotServed(f"the server has no bytes at offset {piece.start}")
        if not home and known is not None and 400 <= status < 500 and status not in (408, 429):
            if piece.task.location == known:
                piece.task.location = None
            return UrlExpired(f"the download URL has expired (status {status})")
        error = status_error(self._source.endpoint, repository.id, repository.commit, status, response.headers, path)
        if status == 429:
            return TooManyRequests(resume_at(response.headers), error)
        if status in TRANSIENT:
            return TemporaryRefusal(error)
        if not home:
            return TemporaryRefusal(
                HubUnreachable(
                    f"the host that the hub names for {path} refuses to send it (status {status})",
                    hint="pull again later; the bytes fetched so far are kept",
                )
            )
        return error
