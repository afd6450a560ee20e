"""What every endpoint that works with a model has around it: its metrics, its body, and its lease of the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ..daemon import store_threads
from ..daemon.context import Context
from ..daemon.errors import WrongKind
from ..daemon.protocol import Generate
from ..store.errors import UnknownModel
from . import decode as body
from .failure import describe
from .jsontext import encode
from .keepalive import Signs, company
from .overrides import laid_over
from .sequences import Sequences

if TYPE_CHECKING:
    from ..daemon.residency.slot import Model

T = TypeVar("T")
Handler: TypeAlias = Callable[..., Coroutine[Any, Any, HTTPResponse | None]]
GENERATING = ("llm", "vlm")
MAX_KNOWN = 1024  # names that need no look at the disk before the lease


def serving(request: Request) -> Context:
    return cast(Context, request.app.ctx.serving)


def measured(endpoint: str, handler: Handler) -> Handler:
    """`endpoint` is a label of a fixed set, never what the client sent."""

    @wraps(handler)
    async def run(request: Request, **path: str) -> HTTPResponse | None:
        metrics = serving(request).metrics
        started = request.ctx.started = time.monotonic()
        metrics.request_started(endpoint)
        status = 499
        try:
            response = await handler(request, **path)
            status = response.status if response is not None else 200
            return response
        except Exception as error:
            status = describe(error).status
            raise
        finally:
            metrics.request_finished(endpoint, status, time.monotonic() - started)

    return run


async def decoded(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    return body.decode(await body.receive(request), decoder)


def document(value: object, status: int = 200) -> HTTPResponse:
    return HTTPResponse(encode(value), status=status, content_type="application/json; charset=utf-8")


@asynccontextmanager
async def leased(
    request: Request, name: str, keep_alive: float | None, capability: str, signs: Signs | None = None
) -> AsyncIterator[Model]:
    """A model that generates text, in memory while the block lasts. `capability` is what its lack is called; `signs`
    are for a client whose answer is a stream, while it waits."""
    context = serving(request)
    known: set[str] = request.app.ctx.known_to_generate
    if name not in known:
        await _look_before_loading(context, name, capability)
    async with AsyncExitStack() as stack:
        async with (
            asyncio.timeout(context.settings.server.request_timeout_seconds or None),
            company(request, signs),
        ):
            model = await stack.enter_async_context(context.residency.use(name, keep_alive=keep_alive))
        require_text(model.installed.manifest.kind, name, capability)
        if len(known) < MAX_KNOWN:
            known.add(name)
        yield model


async def _look_before_loading(context: Context, name: str, capability: str) -> None:
    """A model that cannot generate is refused without bringing it into memory."""
    try:
        installed = await store_threads.look(context.store.find, name)
    except UnknownModel:
        return  # the residency may know how to get it
    require_text(installed.manifest.kind, name, capability)


def require_text(kind: str, name: str, capability: str) -> None:
    """Raises WrongKind for a model that embeds or ranks."""
    if kind not in GENERATING:
        raise WrongKind(name, capability)


def sequences(request: Request, model: Model, requests: Sequence[Generate]) -> Sequences:
    context = serving(request)
    limit = context.settings.server.request_timeout_seconds
    settled = [laid_over(wanted, model) for wanted in requests]
    return Sequences(model, settled, context.metrics, request.ctx.started, limit)
