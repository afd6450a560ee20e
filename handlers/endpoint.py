"""What all endpoints share: metrics, the request's body, and the lease of a model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ..daemon.context import Context
from ..daemon.errors import WrongKind
from ..daemon.protocol import Accepted, Generate
from ..daemon.requests.open_request import OpenRequest
from . import decode as body
from .failure import describe
from .jsontext import encode
from .overrides import with_overrides
from .sequences import Sequences
from .stream import Heartbeat, kept_alive

if TYPE_CHECKING:
    from ..daemon.residency.slot import Model
    from ..store.installed import Installed
    from .pictures.request_pictures import RequestPictures

T = TypeVar("T")
Check: TypeAlias = "Callable[[Installed], None]"
Handler: TypeAlias = Callable[..., Coroutine[Any, Any, HTTPResponse | None]]
GENERATING = ("llm", "vlm")
EMBEDDING = ("embedding",)
RERANKING = ("reranker",)
_KEPT = 1 << 20


def serving(request: Request) -> Context:
    return cast(Context, request.app.ctx.serving)


def opened(request: Request) -> OpenRequest:
    """What the daemon knows of this request, as a value of its own."""
    return cast(OpenRequest, request.ctx.open)


def measured(endpoint: str, handler: Handler) -> Handler:
    """`endpoint` is a label of a fixed set, never what the client sent."""

    @wraps(handler)
    async def run(request: Request, **path: str) -> HTTPResponse | None:
        context = serving(request)
        metrics = context.metrics
        context.open_requests += 1
        open_request = request.ctx.open = OpenRequest(str(request.id), endpoint, _address(request))
        request.ctx.started = open_request.began
        metrics.request_started(endpoint)
        status = 499
        try:
            with open_request.cancellable():
                response = await handler(request, **path)
            status = response.status if response is not None else 200
            return response
        except Exception as error:
            status = describe(error).status
            raise
        finally:
            open_request.close()
            context.requests.discard(open_request)
            metrics.request_finished(endpoint, open_request.model or "", status, open_request.age)
            context.open_requests -= 1
            if not context.open_requests:
                context.residency.audit()

    return run


def _address(request: Request) -> str:
    """Of who is connected, be it a proxy; empty on the Unix socket."""
    info = request.conn_info
    if info is None or not info.client_ip:
        return ""
    return f"{info.client}:{info.client_port}"


async def decoded(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    received = await body.receive(request)
    value = body.decode(received, decoder)
    if len(received) > _KEPT:
        request.body = b""  # it may be pictures, and the request may wait for long
    return value


def document(value: object, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    return HTTPResponse(encode(value), status, headers, "application/json; charset=utf-8")


@asynccontextmanager
async def leased(
    request: Request,
    name: str,
    keep_alive: float | None,
    capability: str,
    heartbeat: Heartbeat | None = None,
    *,
    kinds: tuple[str, ...] = GENERATING,
    pictures: RequestPictures | None = None,
    check: Check = lambda installed: None,
) -> AsyncIterator[Model]:
    """A model of one of these kinds, in memory while the block lasts. `capability` is named in the error of a model
    that lacks it; `heartbeat` is for a client that waits for a stream; `pictures` are decoded and fetched before the
    model is loaded, and refused where it cannot see them; `check` raises for what else it cannot do, before any other
    model is put out for it."""
    context, open_request = serving(request), opened(request)
    open_request.asked = name
    context.requests.add(open_request)
    async with AsyncExitStack() as stack:
        with open_request.cancellable():
            async with (
                asyncio.timeout(context.settings.server.request_timeout_seconds or None),
                kept_alive(request, heartbeat),
            ):
                if pictures:
                    stack.callback(pictures.release)
                    await pictures.decode(context.fetcher)
                installed = await context.residency.find(name)
                if pictures:
                    await pictures.admit(context, name, installed.manifest.kind)
                require_kind(installed.manifest.kind, name, capability, kinds)
                check(installed)
                open_request.found(str(installed.name.display()))
                model = await stack.enter_async_context(context.residency.use(installed, keep_alive=keep_alive))
        yield model


def require_kind(kind: str, name: str, capability: str, kinds: tuple[str, ...] = GENERATING) -> None:
    """Raises WrongKind for a model of another kind."""
    if kind not in kinds:
        raise WrongKind(name, capability, kind)


async def first_events(request: Request, running: Sequences, heartbeat: Heartbeat | None) -> tuple[Accepted, ...]:
    """The first event of every prompt, however long it waits for that. Raises what came instead."""
    async with kept_alive(request, heartbeat):
        return await running.accepted()


async def known_tokens(request: Request, running: Sequences, heartbeat: Heartbeat | None) -> int:
    """How many tokens of the prompts are known from before, however long they wait until they are read."""
    async with kept_alive(request, heartbeat):
        return await running.begun()


def sequences(request: Request, model: Model, requests: Sequence[Generate]) -> Sequences:
    context = serving(request)
    limit = context.settings.server.request_timeout_seconds
    settled = [with_overrides(wanted, model) for wanted in requests]
    return Sequences(model, settled, context.metrics, opened(request), limit)
