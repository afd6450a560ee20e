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
from typing import TYPE_CHECKING, TypeAlias, cast

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
    TokenLogprob,
    ToolCall,
)
from .failure import Incomplete

if TYPE_CHECKING:
    from ..daemon.metrics import Metrics
    from ..daemon.requests.open_request import OpenRequest
    from ..daemon.residency.slot import Model

Item: TypeAlias = tuple[int, Delta | Finished]
Pass: TypeAlias = Callable[[list[Item]], bool]

log = logging.getLogger("mlx_serve.handlers")

_MERGE_EVERY = 512  # unsent items before they are merged in place


class Sequences:
    """`request` is the client's, which is told how far its choices are; TimeoutError `limit` seconds after it began."""

    def __init__(
        self, model: Model, works: Sequence[Generate], metrics: Metrics, request: OpenRequest, limit: float = 0
    ) -> None:
        self.count = sum(work.choices for work in works)
        self._finished = 0
        self._model = model
        self._metrics = metrics
        self._label = model.installed.name.display()
        self._request = request
        self._deadline = request.began + limit if limit > 0 else None
        self._items: list[Item] = []
        self._merge_at = _MERGE_EVERY
        self._failure: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pass: Pass | None = None  # of who waits
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

    async def take(self, seconds: float | None = None, through: Pass | None = None) -> list[Item]:
        """What has happened since the last call, merged; empty after `seconds` without an event.

        While there is nothing to take, all that comes but the end is given to `through` as it comes, merged, which
        says whether it has taken it; what it has not is taken here. What it raises is raised here."""
        if not self._items:
            if self._failure is not None:
                raise self._failure
            await self._wait(seconds, through)
            if not self._items and self._failure is not None:
                raise self._failure
        items, self._items, self._merge_at = self._items, [], _MERGE_EVERY
        return merged(items)

    async def _wait(self, seconds: float | None, through: Pass | None = None) -> None:
        loop = asyncio.get_running_loop()
        if self._deadline is not None:
            left = max(0.0, self._deadline - time.monotonic())
            seconds = left if seconds is None else min(seconds, left)
        self._waiter, self._pass = loop.create_future(), through
        timer = loop.call_later(seconds, self._wake) if seconds is not None else None
        try:
            with self._request.cancellable():
                await self._waiter
        finally:
            self._waiter = self._pass = None
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

    def add(self, item: Item) -> None:
        choice, event = item
        if type(event) is Finished:
            self._finished += 1
            prompt = event.prompt_tokens if event.choice == 0 else 0  # the choices share it
            self._metrics.generated(self._label, prompt, event.completion_tokens, event.decode_seconds)
            self._request.generate(choice, event.completion_tokens)
        elif self._request.generate(choice, cast(Delta, event).tokens):
            self._metrics.first_token(self._label, self._request.age)
        self._items.append(item)
        if len(self._items) >= self._merge_at:
            self._items = merged(self._items)
            self._merge_at = 2 * len(self._items) + _MERGE_EVERY

    def flush(self) -> None:
        """What was added since the last time came together."""
        waiter = self._waiter
        if not self._items or waiter is None or waiter.done():
            return
        if self._pass is None or self._finished == self.count or self._late:
            self._wake()
            return
        items, self._items, self._merge_at = merged(self._items), [], _MERGE_EVERY
        try:
            passed = self._pass(items)
        except Exception as error:
            waiter.set_exception(error)
            return
        if not passed:
            self._items = items
            self._wake()

    def accept(self, prompt_tokens: int) -> None:
        self._request.prompt_tokens += prompt_tokens
        self._wake()

    def start(self, reread: Reread | None) -> None:
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

    def __init__(self, whole: Sequences, work: Generate, first: int) -> None:
        self._whole = whole
        self.work = work
        self.first = first
        self.number: int | None = None
        self.accepted: Accepted | None = None
        self._left = work.choices

    def put(self, event: Event) -> None:
        if type(event) is Delta:
            self._whole.add((self.first + event.choice, event))
            return
        if type(event) is Finished:
            self._left -= 1
            self._whole.add((self.first + event.choice, event))
        elif type(event) is Reading:
            self._whole.read(self.first, event.tokens)
            return
        elif type(event) is Started:
            self._whole.start(event.reread)
        elif type(event) is Accepted:
            self.accepted = event
            self._whole.accept(event.prompt_tokens)
            if event.rendered is not None:
                return
        if event.last and self._left:
            self.fail(Incomplete("the engine ended a request without the end of every choice"))

    def flush(self) -> None:
        self._whole.flush()

    def fail(self, error: Exception) -> None:
        self._whole.fail(error)


def merged(items: list[Item]) -> list[Item]:
    """Neighbouring deltas of one choice as one, where that does not change the order of anything."""
    if len(items) < 2:
        return items
    result: list[Item] = []
    run: list[Delta] = []
    run_index, run_sort = -1, ""

    def close() -> None:
        if run:
            result.append((run_index, _joined(run)))
            run.clear()

    for index, event in items:
        sort = _sort(event)
        if sort is None:
            close()
            result.append((index, event))
            continue
        if run and (index != run_index or (sort and run_sort and sort != run_sort)):
            close()
        run_sort = sort or run_sort if run else sort
        run_index = index
        run.append(cast(Delta, event))
    close()
    return result


def _sort(event: Delta | Finished) -> str | None:
    """What a delta brings, "" for log-probabilities alone; None for what is never joined with another."""
    if type(event) is not Delta or event.tool_calls or (event.text and event.reasoning):
        return None
    return "text" if event.text else "reasoning" if event.reasoning else ""


def _joined(run: list[Delta]) -> Delta:
    if len(run) == 1:
        return run[0]
    return Delta(
        id=run[-1].id,
        choice=run[-1].choice,
        text="".join(delta.text for delta in run),
        reasoning="".join(delta.reasoning for delta in run),
        logprobs=tuple(logprob for delta in run for logprob in delta.logprobs),
        tokens=run[-1].tokens,
    )


class Answer:
    """One choice in full, for answers that are not streamed; `end` is there once the choice has ended."""

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
        for call in event.tool_calls:
            if call.name or not self.tool_calls:
                self.tool_calls.append(call)
            else:
                before = self.tool_calls[-1]
                self.tool_calls[-1] = ToolCall(
                    name=before.name, arguments=before.arguments + call.arguments, index=before.index
                )
        self.logprobs.extend(event.logprobs)


async def answers(sequences: Sequences) -> list[Answer]:
    """Every choice to its end."""
    result = [Answer() for _ in range(sequences.count)]
    while sequences.running:
        for index, event in await sequences.take():
            result[index].add(event)
    return result
