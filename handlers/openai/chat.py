"""POST /v1/chat/completions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.protocol import ChatPrompt, Generate
from .. import error_bodies as errors
from ..durations import keep_alive
from ..endpoint import decoded, document, first_events, leased, sequences
from ..failure import Failure
from ..jsontext import encode
from ..pictures.request_pictures import RequestPictures
from ..ranges import stops
from ..sequences import answers
from ..stream import SSE, Heartbeat, Stream, noticed, relay
from . import bodies, messages
from .bodies import ChatBody
from .chat_answers import ChatChunks, completion
from .structured import grammar

if TYPE_CHECKING:
    from ...daemon.residency.slot import Model


async def chat(request: Request) -> HTTPResponse | None:
    body = await decoded(request, bodies.chat_decoder)
    bodies.check_chat(body)
    pictures = RequestPictures()
    prompt = messages.prompt(body, pictures)
    work = _work(body, prompt)
    body.messages.clear()  # their pictures may be large, and the request may wait for long
    seconds = keep_alive(body.keep_alive)
    chunks = _chunks(body)
    heartbeat = Heartbeat(SSE, chunks.nothing) if body.stream else None
    able = partial(messages.check_abilities, body, prompt)
    async with leased(request, body.model, seconds, "chat", heartbeat, pictures=pictures, check=able) as model:
        notice = _check_model(body, prompt, model)
        async with sequences(request, model, [pictures.into(work)]) as running:
            accepted = await first_events(request, running, heartbeat)
            fingerprint = f"fp_{model.installed.digest[:12]}"
            prompt_tokens = accepted[0].prompt_tokens
            if heartbeat is None:
                finished = await answers(running)
                return document(
                    completion(
                        body.model,
                        fingerprint,
                        finished,
                        prompt_tokens,
                        parallel=body.parallel_tool_calls is not False,
                        with_logprobs=bool(body.logprobs),
                        tier=body.service_tier,
                    ),
                    headers=noticed(notice),
                )
            out = await Stream.open(request, SSE, notice)
            await out.send(chunks.opening(fingerprint))
            tail = partial(chunks.closing, prompt_tokens)
            await relay(out, running, chunks.frames, record, tail, heartbeat=heartbeat)
            return None


def _chunks(body: ChatBody) -> ChatChunks:
    return ChatChunks(
        body.model,
        body.n or 1,
        parallel=body.parallel_tool_calls is not False,
        with_logprobs=bool(body.logprobs),
        with_usage=bool(body.stream_options and body.stream_options.include_usage),
        tier=body.service_tier,
    )


def record(failure: Failure) -> bytes:
    """An error in the middle of a stream."""
    return b"data: " + encode(errors.openai(failure)) + b"\n\n"


def _work(body: ChatBody, prompt: ChatPrompt) -> Generate:
    limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    return Generate(
        prompt=prompt,
        choices=body.n or 1,
        sampling=bodies.sampling(body),
        fallback=bodies.FALLBACK,
        stop=stops(body.stop),
        max_tokens=limit,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        grammar=grammar(body),
        ignore_eos=bool(body.ignore_eos),
        parse_tools=bool(prompt.tools),
        calling=messages.calling(body),
        stream_calls=bool(body.stream),
    )


def _check_model(body: ChatBody, prompt: ChatPrompt, model: Model) -> str | None:
    """Refuse what this model cannot do before it starts. Gives what to tell the client. Raises RequestError."""
    messages.require(body, prompt, model.capabilities)
    context = model.context_length
    if body.max_completion_tokens is not None:
        return bodies.clamping(body.max_completion_tokens, context, "max_completion_tokens")
    return bodies.clamping(body.max_tokens, context, "max_tokens")
