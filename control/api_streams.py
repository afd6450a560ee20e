"""Slow store work as a stream of lines: it runs in a thread of its own and stops when nobody listens."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Generic, TypeVar

import msgspec
from sanic.request import Request

from .api_errors import line_of

T = TypeVar("T")
_PACE_SECONDS = 0.05


class Stopped(Exception):
    """Raised in the working thread, out of its report, when the client has hung up."""


class Feed(Generic[T]):
    """Carries reports from a thread to the event loop.

    Reports about the same subject replace each other while they wait, so a slow reader costs no memory and no time.
    """

    def __init__(self, subject: Callable[[T], Hashable]) -> None:
        self._loop = asyncio.get_running_loop()
        self._subject = subject
        self._waiting: deque[T] = deque()
        self._lock = threading.Lock()
        self._news = asyncio.Event()
        self._stopped = threading.Event()
        self._finished: asyncio.Future[T] = self._loop.create_future()

    def report(self, item: T) -> None:
        """Called by the working thread. Raises Stopped."""
        if self._stopped.is_set():
            raise Stopped
        with self._lock:
            last = self._waiting[-1] if self._waiting else None
            if last is not None and self._subject(last) == self._subject(item):
                self._waiting[-1] = item
                return
            self._waiting.append(item)
        self._loop.call_soon_threadsafe(self._news.set)

    def _run(self, work: Callable[[Callable[[T], None]], T]) -> None:
        try:
            result = work(self.report)
        except BaseException as error:
            failure = error
            self._settle(lambda: self._finished.set_exception(failure))
        else:
            self._settle(lambda: self._finished.set_result(result))

    def _settle(self, settle: Callable[[], None]) -> None:
        def settled() -> None:
            if not self._finished.done():
                settle()
            self._news.set()

        try:
            self._loop.call_soon_threadsafe(settled)
        except RuntimeError:  # the loop has closed: nobody is left to tell
            self._stopped.set()

    async def lines(self, work: Callable[[Callable[[T], None]], T]) -> AsyncIterator[T]:
        """Run `work(report)`; yields its reports, then its result. Closing the iterator stops it at its next report."""
        threading.Thread(target=self._run, args=(work,), name="control-work", daemon=True).start()
        try:
            while True:
                self._news.clear()
                with self._lock:
                    batch = list(self._waiting)
                    self._waiting.clear()
                for item in batch:
                    yield item
                if not batch and self._finished.done():
                    yield self._finished.result()
                    return
                if not batch:
                    await self._news.wait()
                else:
                    await asyncio.wait([self._finished], timeout=_PACE_SECONDS)
        finally:
            self._stopped.set()
            self._finished.cancel()


async def send_lines(request: Request, lines: AsyncIterator[msgspec.Struct]) -> None:
    """Answer with one JSON document a line. An error before the first line is raised, a later one is the last line."""
    response = None
    try:
        async for line in lines:
            if response is None:
                response = await request.respond(content_type="application/x-ndjson")
            await response.send(msgspec.json.encode(line) + b"\n")
    except Exception as error:
        if response is None:
            raise
        await response.send(msgspec.json.encode(line_of(error)) + b"\n")
    finally:
        close = getattr(lines, "aclose", None)
        if close is not None:
            await close()
    if response is not None:
        await response.eof()
