"""Work that is answered with one event: an embedding, a ranking. Leaving it early cancels it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sanic import Request

from ...daemon.errors import RequestCancelled
from ...daemon.protocol import Embed, Embedded, Event, Ranked, Rerank, Started
from ..endpoint import opened, serving
from ..failure import Incomplete

if TYPE_CHECKING:
    from ...daemon.requests.open_request import OpenRequest
    from ...daemon.residency.slot import Model


async def embedded(request: Request, model: Model, work: Embed) -> Embedded:
    """Raises what the engine raises, and TimeoutError."""
    event = await _answered(request, model, work)
    if not isinstance(event, Embedded):
        raise Incomplete("the engine ended an embedding without its vectors")
    _count(request, model, event.prompt_tokens)
    return event


async def ranked(request: Request, model: Model, work: Rerank) -> Ranked:
    """Raises what the engine raises, and TimeoutError."""
    event = await _answered(request, model, work)
    if not isinstance(event, Ranked):
        raise Incomplete("the engine ended a ranking without its scores")
    _count(request, model, event.prompt_tokens)
    return event


def _count(request: Request, model: Model, tokens: int) -> None:
    opened(request).prompt_tokens = tokens
    serving(request).metrics.generated(str(model.installed.name.display()), tokens, 0)


async def _answered(request: Request, model: Model, work: Embed | Rerank) -> Event:
    context, open_request = serving(request), opened(request)
    limit = context.settings.server.request_timeout_seconds
    left = None if limit <= 0 else max(0.0, request.ctx.started + limit - time.monotonic())
    label = str(model.installed.name.display())
    answer = _Answer(open_request, lambda seconds: context.metrics.began(label, seconds))
    open_request.submit()
    number = model.submit(work, answer)
    try:
        with open_request.cancellable():
            async with asyncio.timeout(left):
                return await answer.event
    except (asyncio.CancelledError, RequestCancelled):
        context.metrics.cancelled(label)
        raise
    finally:
        model.cancel(number)


class _Answer:
    """The sink of the last event; `began` is told how long the work was queued."""

    def __init__(self, request: OpenRequest, began: Callable[[float], None]) -> None:
        self._request = request
        self._began = began
        self.event: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

    def put(self, event: Event) -> None:
        if type(event) is Started:
            if self._request.start():
                self._began(self._request.queue_seconds or 0.0)
        elif event.last and not self.event.done():
            self.event.set_result(event)

    def flush(self) -> None:
        """Nothing is left to do."""

    def fail(self, error: Exception) -> None:
        if not self.event.done():
            self.event.set_exception(error)
