"""POST /v1/messages/count_tokens: what `usage` of the same message would say of its input. It loads no weights."""

from __future__ import annotations

from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.protocol import Count, Counted
from ..endpoint import decoded, document, require_kind, serving
from ..overrides import with_settings
from ..pictures.request_pictures import RequestPictures
from ..tokens.asking import asked, named
from . import bodies
from .chat_prompt import chat_prompt, settled
from .create_message import output_format
from .tool_offers import calling, offers


async def count(request: Request) -> HTTPResponse:
    body = await decoded(request, bodies.count_decoder)
    bodies.check_conversation(body)
    pictures = RequestPictures()
    offered = offers(body)
    calling(body, offered)
    output_format(body)
    prompt = chat_prompt(body, offered, pictures)
    context = serving(request)
    try:
        if pictures:
            await pictures.decode(context.fetcher)
        async with named(request, body.model) as installed:
            manifest = installed.manifest
            if pictures:
                await pictures.admit(context, body.model, manifest.kind)
            require_kind(manifest.kind, body.model, "chat")
            ready = pictures.placed(with_settings(settled(prompt, manifest.capabilities), installed.overrides))
            event = await asked(request, installed, Count(prompts=(ready,)), Counted)
    finally:
        pictures.release()
    return document({"input_tokens": event.count})
