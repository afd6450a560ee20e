"""A task with followers: it runs once, reports to all of them, and is stopped after the last one has left.

It does not know what the work is. Events about one subject replace each other, so that a slow follower costs no memory
and no time; a late one first gets the latest event of every subject.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from typing import Generic, TypeVar

E = TypeVar("E")
R = TypeVar("R")

_PACE_SECONDS = 0.05


class Stopped(Exception):
    """Raised by `report`: the work is no longer wanted."""


class Follower(Generic[E]):
    """The events that one follower has not received yet."""

    def __init__(self, present: dict[Hashable, E]) -> None:
        self.waiting = dict(present)
        self.wake = asyncio.Event()

    def put(self, subject: Hashable, event: E) -> None:
        self.waiting.pop(subject, None)  # so that the subject moves to the end
        self.waiting[subject] = event
        self.wake.set()

    def take(self) -> list[E]:
        self.wake.clear()
        batch, self.waiting = list(self.waiting.values()), {}
        return batch


class SharedTask(Generic[E, R]):
    """Starts at once. `run` gets the function to report with, callable from any thread. `latest` is the last event that
    was reported, None before the first."""

    def __init__(self, run: Callable[[Callable[[E], None]], Awaitable[R]], subject: Callable[[E], Hashable]) -> None:
        self._subject = subject
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._news: dict[Hashable, E] = {}
        self._present: dict[Hashable, E] = {}
        self.latest: E | None = None
        self._followers: set[Follower[E]] = set()
        self._stopped = threading.Event()
        self._reason: Exception | None = None
        self.task: asyncio.Task[R] = asyncio.create_task(self._run(run))
        self.task.add_done_callback(self._ended)

    @property
    def over(self) -> bool:
        """Whether it is too late to follow."""
        return self._stopped.is_set() or self.task.done()

    def report(self, event: E) -> None:
        """From any thread. Raises Stopped."""
        if self._stopped.is_set():
            raise Stopped
        subject = self._subject(event)
        with self._lock:
            first = not self._news
            self._news.pop(subject, None)
            self._news[subject] = event
        if first:
            try:
                self._loop.call_soon_threadsafe(self._spread)
            except RuntimeError:  # the loop has closed
                raise Stopped from None

    def stop(self, reason: Exception | None = None) -> None:
        """End the work at its next report; `reason` is raised to the remaining followers."""
        self._reason = self._reason or reason
        self._stopped.set()
        self.task.cancel()
        self._wake()

    async def follow(self) -> AsyncGenerator[E | R]:
        """The latest event of every subject, then every event, then the result. Raises what the work raised.

        Closing the iterator ends following.
        """
        follower = Follower(self._present)
        self._followers.add(follower)
        try:
            while True:
                batch = follower.take()
                for event in batch:
                    yield event
                if batch:
                    await asyncio.wait([self.task], timeout=_PACE_SECONDS)
                elif self._reason is not None:
                    raise self._reason
                elif self.task.done():
                    yield self.task.result()
                    return
                else:
                    await follower.wake.wait()
        finally:
            self._followers.discard(follower)
            if not self._followers and not self.task.done():
                self.stop()

    async def _run(self, run: Callable[[Callable[[E], None]], Awaitable[R]]) -> R:
        return await run(self.report)

    def _spread(self) -> None:
        with self._lock:
            news, self._news = self._news, {}
        for subject, event in news.items():
            self._present.pop(subject, None)
            self._present[subject] = self.latest = event
            for follower in self._followers:
                follower.put(subject, event)

    def _ended(self, task: asyncio.Task[R]) -> None:
        if not task.cancelled():
            task.exception()  # retrieved here, because there may be no follower left
        self._spread()
        self._wake()

    def _wake(self) -> None:
        for follower in self._followers:
            follower.wake.set()


async def in_thread(work: Callable[[], R], name: str) -> R:
    """Run slow work in a thread of its own; the default executor's few threads are for short disk accesses.

    Cancelled, it returns when the thread has ended.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[R] = loop.create_future()

    def settle(result: R | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
            done.exception()  # retrieved here, because the caller may be gone
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def body() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:  # the loop has closed
            return

    threading.Thread(target=body, name=name, daemon=True).start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        if not done.done():
            await asyncio.wait([done])
        raise
