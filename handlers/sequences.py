"""The sequences that one client request generates (its `n` choices, its prompts), as one stream of batches.

A task per sequence moves events from the engine's iterator into one list, so the engine never waits for a slow client,
and whatever has piled up while the client was slow leaves in one write. Leaving the block closes every iterator.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from ..daemon.protocol import Accepted, Delta, Event, Finished, Generate, TokenLogprob, ToolCall
from .failure import Incomplete

if TYPE_CHECKING:
    from ..daemon.metrics import Metrics
    from ..daemon.residency.slot import Model

Item: TypeAlias = tuple[int, Delta | Finished]


class Sequences:
    """`started` is the monotonic time at which the client's request began; TimeoutError `limit` seconds after it."""

    def __init__(
        self, model: Model, requests: Sequence[Generate], metrics: Metrics, started: float, limit: float = 0
    ) -> None:
        self.count = len(requests)
        self._finished = 0
        self._model = model
        self._requests = requests
        self._metrics = metrics
        self._label = model.installed.name.display()
        self._started = started
        self._deadline = started + limit if limit > 0 else None
        self._generating = False
        self._accepted: dict[int, Accepted] = {}
        self._items: list[Item] = []
        self._failure: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Sequences:
        self._tasks = [
            asyncio.create_task(self._pump(index, self._model.generate(request)))
            for index, request in enumerate(self._requests)
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [task for task in self._tasks if not task.done()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            self._metrics.cancelled(self._label)

    @property
    def running(self) -> bool:
        """Whether `take` has more to give."""
        return self._finished < self.count or bool(self._items)

    async def accepted(self) -> tuple[Accepted, ...]:
        """Every sequence's first event. Raises what the engine raised instead: nothing has been sent yet."""
        while len(self._accepted) < self.count:
            if self._failure is not None:
                raise self._failure
            await self._wait(None)
        return tuple(self._accepted[index] for index in range(self.count))

    async def take(self, patience: float | None = None) -> list[Item]:
        """What has happened since the last call; nothing after `patience` seconds of silence."""
        if not self._items:
            if self._failure is not None:
                raise self._failure
            await self._wait(patience)
            if not self._items and self._failure is not None:
                raise self._failure
        items, self._items = self._items, []
        return items

    async def _wait(self, patience: float | None) -> None:
        loop = asyncio.get_running_loop()
        if self._deadline is not None:
            left = max(0.0, self._deadline - time.monotonic())
            patience = left if patience is None else min(patience, left)
        self._waiter = loop.create_future()
        timer = loop.call_later(patience, self._wake) if patience is not None else None
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise TimeoutError

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _pump(self, index: int, events: AsyncGenerator[Event]) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    self._put(index, event)
                    if type(event) is Finished:
                        return
            if index not in self._accepted or self._accepted[index].rendered is None:
                raise Incomplete("the engine ended a sequence without a last event")
        except Exception as error:
            self._failure = self._failure or error
            self._wake()

    def _put(self, index: int, event: Event) -> None:
        if type(event) is Delta:
            if not self._generating:
                self._generating = True
                self._metrics.first_token(self._label, time.monotonic() - self._started)
            self._items.append((index, event))
        elif type(event) is Finished:
            self._finished += 1
            self._metrics.generated(self._label, event.prompt_tokens, event.completion_tokens)
            self._items.append((index, event))
        elif type(event) is Accepted:
            self._accepted[index] = event
            if len(self._accepted) < self.count:
                return
        self._wake()


def merged(items: list[Item]) -> Iterable[Item]:
    """Neighbouring deltas of one sequence as one, where nothing can change places by it."""
    if len(items) < 2:
        return items
    result: list[Item] = []
    for index, event in items:
        if result and type(event) is Delta:
            last_index, last = result[-1]
            if last_index == index and type(last) is Delta and _same_sort(last, event):
                result[-1] = (index, _joined(last, event))
                continue
        result.append((index, event))
    return result


def _same_sort(a: Delta, b: Delta) -> bool:
    if a.tool_calls or b.tool_calls:
        return False
    return not (a.text or b.text) or not (a.reasoning or b.reasoning)


def _joined(a: Delta, b: Delta) -> Delta:
    return Delta(
        id=b.id,
        text=a.text + b.text,
        reasoning=a.reasoning + b.reasoning,
        logprobs=a.logprobs + b.logprobs,
        tokens=b.tokens,
    )


class Answer:
    """One sequence in full, for answers that are not streamed; `end` is there once the sequence has ended."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self.tool_calls: list[ToolCall] = []
        self.logprobs: list[TokenLogprob] = []
        self.end = Finished(id=0, reason="stop", prompt_tokens=0, completion_tokens=0)

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    def add(self, event: Delta | Finished) -> None:
        if isinstance(event, Finished):
            self.end = event
            return
        self._text.append(event.text)
        self._reasoning.append(event.reasoning)
        self.tool_calls.extend(event.tool_calls)
        self.logprobs.extend(event.logprobs)


async def answers(sequences: Sequences) -> list[Answer]:
    """Every sequence to its end."""
    result = [Answer() for _ in range(sequences.count)]
    while sequences.running:
        for index, event in await sequences.take():
            result[index].add(event)
    return result
