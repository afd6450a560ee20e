"""The choices that one client request generates (its `n`, its prompts), as one stream of batches.

The engine's events go straight into one list. The engine never waits for a slow client; what has piled up is merged and
leaves in one write. Leaving the block cancels what has not ended.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from ..daemon.errors import RequestCancelled
from ..daemon.protocol import (
    Accepted,
    Delta,
    Event,
    Finished,
    Generate,
    Reading,
    Reread,
    Started,
)
from .failure import Incomplete
from .items import Answer, Item, merged

if TYPE_CHECKING:
    from ..daemon.metrics import Metrics
    from ..daemon.requests.open_request import OpenRequest
    from ..daemon.residency.slot import Model


log = logging.getLogger("mlx_serve.handlers")

_MERGE_EVERY = 512  # unsent items before they are merged in place


class Through(Protocol):
    """A way past the task that takes the items, for while it waits."""

    def prepare(self, items: list[Item]) -> Callable[[], None] | None:
        """The write of these; None when they are not taken. May raise; the write neither raises nor waits."""


class Sequences:
    """`request` is the client's, which is told how far its choices are; TimeoutError `limit` seconds after it began."""

    def __init__(
        self, model: Model, works: Sequence[Generate], metrics: Metrics, request: OpenRequest, limit: float = 0
    ) -> None:
        self.count = sum(work.choices for work in works)
        self._counts = request.counts()
        self._spoken = False
        self._finished = 0
        self._cached = 0
        self._model = model
        self._metrics = metrics
        self._label = model.installed.name.display()
        self._request = request
        self._deadline = request.began + limit if limit > 0 else None
        self._items: list[Item] = []
        self._merge_at = _MERGE_EVERY
        self._failure: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._through: Through | None = None  # of who waits
        self._parts: list[_WorkSink] = []
        for work in works:
            first = self._parts[-1].first + self._parts[-1].work.choices if self._parts else 0
            self._parts.append(_WorkSink(self, work, first))

    async def __aenter__(self) -> Sequences:
        self._request.submit()
        try:
            for part in self._parts:
                part.number = self._model.submit(part.work, part)
        except BaseException:
            self._cancel()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cancel()
        if kind is not None and issubclass(kind, (asyncio.CancelledError, RequestCancelled)):
            self._metrics.cancelled(self._label)

    def _cancel(self) -> None:
        for part in self._parts:
            if part.number is not None:
                self._model.cancel(part.number)

    @property
    def running(self) -> bool:
        """Whether `take` has more to give."""
        return self._finished < self.count or bool(self._items)

    async def accepted(self) -> tuple[Accepted, ...]:
        """The first event of every prompt. Raises what the engine raised instead: nothing has been sent yet."""
        while True:
            if self._failure is not None:
                raise self._failure
            accepted = tuple(part.accepted for part in self._parts if part.accepted is not None)
            if len(accepted) == len(self._parts):
                return accepted
            await self._wait(None)

    async def begun(self) -> int:
        """How many tokens of the prompts need not be read, once they are read or something is there to take. Raises
        what the engine raised instead."""
        while not (self._items or all(part.begun for part in self._parts)):
            if self._failure is not None:
                raise self._failure
            await self._wait(None)
        return self._cached

    async def take(self, seconds: float | None = None, through: Through | None = None) -> list[Item]:
        """What has happened since the last call, merged; empty after `seconds` without an event.

        While there is nothing to take, all that comes but the end goes `through` as it comes, merged; what cannot is
        taken here. What `prepare` raises is raised here."""
        if not self._items:
            if self._failure is not None:
                raise self._failure
            await self._wait(seconds, through)
            if not self._items and self._failure is not None:
                raise self._failure
        items, self._items, self._merge_at = self._items, [], _MERGE_EVERY
        return merged(items)

    async def _wait(self, seconds: float | None, through: Through | None = None) -> None:
        loop = asyncio.get_running_loop()
        if self._deadline is not None:
            left = max(0.0, self._deadline - time.monotonic())
            seconds = left if seconds is None else min(seconds, left)
        self._waiter, self._through = loop.create_future(), through
        timer = loop.call_later(seconds, self._wake) if seconds is not None else None
        try:
            with self._request.cancellable():
                await self._waiter
        finally:
            self._waiter = self._through = None
            if timer is not None:
                timer.cancel()
        if self._late:
            raise TimeoutError

    @property
    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # called by the sinks

    def grow(self, choice: int, delta: Delta) -> None:
        if delta.tokens > self._counts.get(choice, 0):
            self._counts[choice] = delta.tokens
        if not self._spoken:
            self._spoken = True
            if self._request.generate():
                self._metrics.first_token(self._label, self._request.age)
        self._add((choice, delta))

    def finish(self, choice: int, end: Finished) -> None:
        self._finished += 1
        prompt = end.prompt_tokens if end.choice == 0 else 0  # the choices share it
        self._metrics.generated(self._label, prompt, end.completion_tokens, end.decode_seconds)
        self._counts[choice] = max(self._counts.get(choice, 0), end.completion_tokens)
        self._request.generate()
        self._add((choice, end))

    def _add(self, item: Item) -> None:
        self._items.append(item)
        if len(self._items) >= self._merge_at:
            self._items = merged(self._items)
            self._merge_at = 2 * len(self._items) + _MERGE_EVERY

    def flush(self) -> Callable[[], None] | None:
        """What was added since the last time came together. Gives the write that is left to do."""
        waiter, through = self._waiter, self._through
        if not self._items or waiter is None or waiter.done():
            return None
        if through is None or self._finished == self.count or self._late:
            waiter.set_result(None)
            return None
        items, self._items = self._items, []
        if len(items) > 1:
            items, self._merge_at = merged(items), _MERGE_EVERY
        try:
            if (write := through.prepare(items)) is not None:
                return write
            self._items = items
            waiter.set_result(None)
        except Exception as error:
            waiter.set_exception(error)
        return None

    def accept(self, prompt_tokens: int) -> None:
        self._request.prompt_tokens += prompt_tokens
        self._wake()

    def start(self, cached: int, reread: Reread | None) -> None:
        self._cached += cached
        self._wake()
        if self._request.start():
            self._metrics.began(self._label, self._request.queue_seconds or 0.0)
        if reread is not None:
            known, common, reused = reread.known, reread.common, reread.reused
            place = f" at token {common}" if reread.reason in ("diverged", "another picture") else ""
            log.info(
                "read prompt again id=%s model=%s known=%d common=%d reused=%d reason=%s%s",
                *(self._request.id, self._label, known, common, reused, reread.reason, place),
            )

    def read(self, prompt: int, tokens: int) -> None:
        self._request.read(prompt, tokens)

    def fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._wake()


class _WorkSink:
    """The sink of one piece of work, whose choices are numbered from `first` on among all of the request."""

    __slots__ = ("_left", "_whole", "accepted", "begun", "first", "flush", "number", "work")

    def __init__(self, whole: Sequences, work: Generate, first: int) -> None:
        self._whole = whole
        self.work = work
        self.first = first
        self.number: int | None = None
        self.accepted: Accepted | None = None
        self.begun = False
        self._left = work.choices
        self.flush = whole.flush

    def put(self, event: Event) -> None:
        if type(event) is Delta:
            self._whole.grow(self.first + event.choice, event)
            return
        if type(event) is Finished:
            self._left -= 1
            self._whole.finish(self.first + event.choice, event)
        elif type(event) is Reading:
            self._whole.read(self.first, event.tokens)
            return
        elif type(event) is Started:
            self.begun = True
            self._whole.start(event.cached, event.reread)
        elif type(event) is Accepted:
            self.accepted = event
            self._whole.accept(event.prompt_tokens)
            if event.rendered is not None:
                return
        if event.last and self._left:
            self.fail(Incomplete("the engine ended a request without the end of every choice"))

    def fail(self, error: Exception) -> None:
        self._whole.fail(error)


async def answers(sequences: Sequences) -> list[Answer]:
    """Every choice to its end."""
    result = [Answer() for _ in range(sequences.count)]
    while sequences.running:
        for index, event in await sequences.take():
            result[index].add(event)
    return result
