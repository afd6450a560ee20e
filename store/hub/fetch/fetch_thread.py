"""One stream of a download: a thread that fetches piece after piece and checks every answer before it believes it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol

from ...errors import HubUnreachable
from ..refusals import TRANSIENT, refusal, resume_at
from ..remote import Endpoint, origin
from ..repository import Repository
from .dialer import Dialer
from .file_task import Piece
from .hasher import Buffers
from .http_get import Exchange, Reply
from .reply import Expired, Limited, NoRanges, Refused, WrongBody, check_pinned, checked, is_whole, kind_of, target_of
from .timeouts import Lost, Patience, Stopped, Waits, Watch

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_FLUSH_SECONDS = 0.1


class Desk(Protocol):
    """Where a stream gets its work."""

    stopped: bool

    def take(self) -> Piece | None: ...
    def fetched(self, piece: Piece, count: int) -> None: ...
    def give_back(self, piece: Piece, outcome: BaseException | None) -> None: ...


@dataclass(frozen=True)
class Site:
    """Where a repository's files are, and who is asking."""

    endpoint: Endpoint
    repository: Repository
    patience: Patience


class Stream(threading.Thread):
    """Ends when the desk has no work for it."""

    def __init__(self, site: Site, desk: Desk, dialer: Dialer, buffers: Buffers) -> None:
        super().__init__(name="hub-stream", daemon=True)
        self._site = site
        self._desk = desk
        self._buffers = buffers
        self._exchange = Exchange(dialer)
        self.waits = Waits()

    def run(self) -> None:
        try:
            while (piece := self._desk.take()) is not None:
                outcome: BaseException | None = None
                try:
                    self._fetch(piece)
                except BaseException as error:
                    outcome = error
                    self._exchange.close()
                self._desk.give_back(piece, outcome)
        finally:
            self._exchange.close()

    def _fetch(self, piece: Piece) -> None:
        stopped = lambda: self._desk.stopped or piece.stale  # noqa: E731
        watch = Watch(stopped, self._site.patience, self.waits)
        reply = self._ask(piece, watch)
        stop = checked(reply, piece)
        while piece.position < stop:
            buffer = self._buffers.take(stopped)
            if buffer is None:
                raise Stopped
            failure = None
            count = 0
            began = time.monotonic()
            try:
                room = min(len(buffer), stop - piece.position)
                while count < room and time.monotonic() - began < _FLUSH_SECONDS:
                    # What came is stored before the line is waited for any longer.
                    got = reply.read_into(buffer[count:room], wait=count == 0)
                    if got is None:
                        break
                    if got == 0:
                        raise Lost("the answer ended too early")
                    count += got
            except BaseException as error:
                failure = error
            self._store(piece, buffer, count)
            if failure is not None:
                raise failure
        if reply.length is None and reply.read_into(memoryview(bytearray(1))):
            raise WrongBody(f"the server sends more than {piece.stop} bytes{kind_of(reply)}")
        reply.finish(reply.length is not None)

    def _store(self, piece: Piece, buffer: memoryview, count: int) -> None:
        if count == 0 or piece.stale:
            return self._buffers.give(buffer)
        position = piece.position
        try:
            piece.task.partial.write(piece.slot, position, buffer[:count])
        except BaseException:
            self._buffers.give(buffer)
            raise
        piece.position += count
        self._desk.fetched(piece, count)
        return piece.task.follower.pass_on(position, buffer, count)

    def _ask(self, piece: Piece, watch: Watch) -> Reply:
        """An answer of 200 or 206, redirects followed, from the place that the hub names for the file."""
        task, endpoint = piece.task, self._site.endpoint
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
            reply = self._exchange.get(url, headers, watch)
            if home and reply.status < 400:
                check_pinned(self._site.repository, task.file, reply)
            if reply.status not in _REDIRECTS:
                if reply.status not in (200, 206):
                    raise self._refused(piece, reply, home=home, known=known)
                if away:
                    task.location = url
                return reply
            url = target_of(url, reply.headers.get("location"), endpoint)
            away |= origin(url) != endpoint.origin
            reply.skip()
        raise HubUnreachable(f"the hub sends from address to address for {task.file.path} without end")

    def _refused(self, piece: Piece, reply: Reply, *, home: bool, known: str | None) -> Exception:
        """What an answer without the file means."""
        path, status, repository = piece.task.file.path, reply.status, self._site.repository
        if status == 416:
            return NoRanges(f"the server has no bytes at {piece.start}")
        if not home and known is not None and 400 <= status < 500 and status not in (408, 429):
            if piece.task.location == known:
                piece.task.location = None
            return Expired(f"the address has expired ({status})")
        error = refusal(self._site.endpoint, repository.id, repository.commit, status, reply.headers, path)
        if status == 429:
            return Limited(resume_at(reply.headers), error)
        if status in TRANSIENT:
            return Refused(error)
        if not home:
            return Refused(
                HubUnreachable(
                    f"the host that the hub names for {path} refuses to send it ({status})",
                    hint="pull again later; what is here is kept",
                )
            )
        return error
