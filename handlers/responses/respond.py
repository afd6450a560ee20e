"""POST /v1/responses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.errors import RequestRejected
from ...daemon.protocol import Accepted, Delta, Finished
from ..durations import keep_alive
from ..endpoint import decoded, document, first_events, leased, opened, sequences
from ..error_bodies import note, openai_message
from ..failure import Failure, RequestError, describe
from ..guard.keys import owner
from ..jsontext import encode
from ..sequences import Sequences
from ..stream import SSE, Heartbeat, Stream, noticed, relay
from . import bodies
from .kept import KeptItem, KeptResponse, KeptResponses
from .question import Question, question
from .response_events import ResponseEvents
from .under_way import Keep, ResponsesUnderWay, UnderWay


async def respond(request: Request) -> HTTPResponse | None:
    body = await decoded(request, bodies.decoder)
    asked = question(body, kept_responses(request), owner(request))
    body.input = []  # its pictures may be large, and the request may wait for long
    seconds = keep_alive(body.keep_alive)
    keep: Keep = partial(_keep, request, asked) if body.store is not False else _keep_nothing
    events = ResponseEvents(asked.document, asked.answer()) if body.stream else None
    held = nullcontext() if events is None else _under_way(request, asked, events, keep)
    try:
        with opened(request).cancellable(), held:
            return await _answer(request, body.model, seconds, asked, events, keep)
    except RequestRejected as error:
        failure = asked.renamed(describe(error))
        if events is None or Stream.of(request) is None:
            raise refusal(failure) from None
        await _fail(request, events, error, failure)
    except Exception as error:
        if events is None or Stream.of(request) is None:
            raise
        await _fail(request, events, error, describe(error))
    return None


async def _answer(
    request: Request, name: str, seconds: float | None, asked: Question, events: ResponseEvents | None, keep: Keep
) -> HTTPResponse | None:
    heartbeat = None if events is None else Heartbeat(SSE, events.progress)
    pictures = asked.pictures
    check = asked.check_abilities
    async with leased(request, name, seconds, "chat", heartbeat, pictures=pictures, check=check) as model:
        notice = asked.check_model(model)
        async with sequences(request, model, [pictures.into(asked.work_for(model.capabilities))]) as running:
            (accepted,) = await first_events(request, running, heartbeat)
            if accepted.truncated:
                notice = "; ".join(each for each in (notice, "the oldest items of 'input' were left out") if each)
            if events is None or heartbeat is None:
                return await _whole(running, asked, accepted, keep, notice)
            out = await Stream.open(request, SSE, notice)
            await out.send(events.opening())

            def tail() -> bytes:
                last, response = events.closing(accepted)
                keep(response)
                return last

            await relay(
                out,
                running,
                events.frames,
                lambda failure: events.failing(asked.renamed(failure)),
                tail,
                heartbeat=heartbeat,
            )
            return None


async def _whole(
    running: Sequences, asked: Question, accepted: Accepted, keep: Keep, notice: str | None
) -> HTTPResponse:
    answer = asked.answer()
    end: Finished | None = None
    while running.running:
        for _, event in await running.take():
            if isinstance(event, Delta):
                answer.take(event)
            else:
                end = event
    assert end is not None
    answer.finish(complete=end.reason != "length")
    response = asked.document.ended(answer.items, end, accepted)
    keep(response)
    return document(response, headers=noticed(notice))


async def _fail(request: Request, events: ResponseEvents, error: Exception, failure: Failure) -> None:
    """The stream has begun: the failure is its last record."""
    out = Stream.of(request)
    assert out is not None
    note(error, out.number)
    await out.fail(events.failing(failure))


def refusal(failure: Failure) -> RequestError:
    """The failure as what a handler raises."""
    message = openai_message(failure)
    return RequestError(message, status=failure.status, param=failure.param, code=failure.code, headers=failure.headers)


def _under_way(request: Request, asked: Question, events: ResponseEvents, keep: Keep) -> AbstractContextManager[None]:
    """Whoever knows its id, which its first event tells, may ask for it and cancel it while the block lasts."""
    found = UnderWay(opened(request), events, keep)
    return responses_under_way(request).held(owner(request), asked.document.id, found)


def responses_under_way(request: Request) -> ResponsesUnderWay:
    """Those of the server that the request came to."""
    found: ResponsesUnderWay | None = getattr(request.app.ctx, "responses_under_way", None)
    if found is None:
        found = request.app.ctx.responses_under_way = ResponsesUnderWay()
    return found


def kept_responses(request: Request) -> KeptResponses:
    """Those of the server that the request came to: the one on the Unix socket has its own."""
    kept: KeptResponses | None = getattr(request.app.ctx, "kept_responses", None)
    if kept is None:
        kept = request.app.ctx.kept_responses = KeptResponses()
    return kept


def _keep(request: Request, asked: Question, response: dict[str, Any]) -> None:
    output = tuple(KeptItem.of(encode(item)) for item in response["output"])
    kept = KeptResponse(encode(response), asked.context, output)
    kept_responses(request).keep(owner(request), response["id"], kept)


def _keep_nothing(response: dict[str, Any]) -> None:
    """`store` is false."""
