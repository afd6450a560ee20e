"""POST /v1/messages."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.errors import RequestRejected
from ...daemon.protocol import ChatPrompt, Delta, Finished, Generate, Grammar, Sampling
from .. import json_schema as schema
from .. import ranges
from ..endpoint import decoded, document, first_events, known_tokens, leased, sequences
from ..failure import Incomplete
from ..openai.bodies import FALLBACK, clamping
from ..pictures.request_pictures import RequestPictures
from ..sequences import Sequences
from ..stream import SSE, Stream, noticed, relay
from . import bodies, thoughts
from .answer_blocks import AnswerBlocks, all_steps
from .bodies import Conversation, MessagesBody
from .chat_prompt import chat_prompt, settled
from .message_document import content, message
from .message_events import HEARTBEAT, MessageEvents, record
from .tool_offers import Offer, calling, offers

if TYPE_CHECKING:
    from ...store.installed import Installed


async def create(request: Request) -> HTTPResponse | None:
    body = await decoded(request, bodies.messages_decoder)
    bodies.check_messages(body)
    pictures = RequestPictures()
    offered = offers(body)
    prompt = chat_prompt(body, offered, pictures)
    work = _work(body, prompt, offered)
    body.messages.clear()  # their pictures may be large, and the request may wait for long
    heartbeat = HEARTBEAT if body.stream else None

    def check(installed: Installed) -> None:
        settled(prompt, installed.manifest.capabilities)

    async with leased(request, body.model, None, "chat", heartbeat, pictures=pictures, check=check) as model:
        settled(prompt, model.capabilities)
        notice = clamping(body.max_tokens, model.context_length, "max_tokens")
        ready = _settled(work, model.installed)
        async with sequences(request, model, [pictures.into(ready)]) as running:
            try:
                prompt_tokens = (await first_events(request, running, heartbeat))[0].prompt_tokens
            except RequestRejected as error:
                raise named(error, offered) from None
            parallel, omitted = work.calling.parallel, thoughts.omitted(body)
            if heartbeat is None:
                blocks = AnswerBlocks(parallel=parallel)
                deltas, end = await _whole(running)
                said = content(all_steps(deltas, blocks), omitted=omitted)
                answer = message(body.model, said, prompt_tokens, end, called=blocks.called)
                return document(answer, headers=noticed(notice))
            events = MessageEvents(body.model, parallel=parallel, omitted=omitted)
            cached = await known_tokens(request, running, heartbeat)
            out = await Stream.open(request, SSE, notice)
            await out.send(events.opening(prompt_tokens, cached))
            tail = partial(events.closing, prompt_tokens)
            failed = partial(record, request_id=str(request.id))
            await relay(out, running, events.frames, failed, tail, heartbeat=heartbeat)
            return None


def named(error: RequestRejected, offered: list[Offer]) -> RequestRejected:
    """The engine's refusal with the names that the client's own fields have."""
    for place, offer in enumerate(offered):
        theirs = f"tools[{place}].function.parameters"
        if error.param == theirs:
            ours = f"{offer.param}.input_schema"
            return RequestRejected(error.code, str(error).replace(theirs, ours), ours)
    return error


def output_format(body: Conversation) -> Grammar | None:
    """What the answer must look like. Raises RequestError."""
    config = body.output_config
    given = config.format if config is not None else None
    if given is not None and body.output_format is not None:
        raise bodies.invalid("output_format", "'output_config.format' says already what the answer must look like")
    if given is not None:
        return schema.grammar(bytes(given.schema), "output_config.format.schema")
    if body.output_format is not None:
        return schema.grammar(bytes(body.output_format.schema), "output_format.schema")
    return None


def _work(body: MessagesBody, prompt: ChatPrompt, offered: list[Offer]) -> Generate:
    return Generate(
        prompt=prompt,
        sampling=Sampling(temperature=body.temperature, top_p=body.top_p, top_k=body.top_k),
        fallback=FALLBACK,
        stop=ranges.stops(body.stop_sequences, "stop_sequences"),
        max_tokens=body.max_tokens,
        grammar=output_format(body),
        parse_tools=bool(prompt.tools),
        calling=calling(body, offered),
        stream_calls=bool(body.stream),
    )


def _settled(work: Generate, installed: Installed) -> Generate:
    """As this model has it, by what the listings say of it, which is what its tokens are counted by."""
    assert isinstance(work.prompt, ChatPrompt)
    return msgspec.structs.replace(work, prompt=settled(work.prompt, installed.manifest.capabilities))


async def _whole(running: Sequences) -> tuple[list[Delta], Finished]:
    """All that a message is made of."""
    deltas: list[Delta] = []
    end: Finished | None = None
    while running.running:
        for _, event in await running.take():
            if isinstance(event, Delta):
                deltas.append(event)
            else:
                end = event
    if end is None:
        raise Incomplete("the answer has no end")
    return deltas, end
