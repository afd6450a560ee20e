"""POST /v1/responses/input_tokens: how many tokens a response would read, counted without loading the model."""

from __future__ import annotations

from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.errors import RequestRejected
from ...daemon.protocol import ChatPrompt, Count, Counted
from ..endpoint import decoded, document, require_kind, serving
from ..failure import describe
from ..guard.keys import owner
from ..overrides import with_settings
from ..tokens.asking import asked, named
from . import bodies
from .question import Question, question
from .respond import kept_responses, refusal


async def input_tokens(request: Request) -> HTTPResponse:
    body = await decoded(request, bodies.decoder)
    body.store = False
    wanted = question(body, kept_responses(request), owner(request))
    try:
        counted = await _counted(request, body.model, wanted)
    except RequestRejected as error:
        raise refusal(wanted.renamed(describe(error))) from None
    finally:
        wanted.pictures.release()
    return document({"object": "response.input_tokens", "input_tokens": counted.count})


async def _counted(request: Request, name: str, wanted: Question) -> Counted:
    context, pictures = serving(request), wanted.pictures
    if pictures:
        await pictures.decode(context.fetcher)
    async with named(request, name) as installed:
        if pictures:
            await pictures.admit(context, name, installed.manifest.kind)
        require_kind(installed.manifest.kind, name, "chat")
        wanted.check_abilities(installed)
        prompt = wanted.work_for(installed.manifest.capabilities).prompt
        assert isinstance(prompt, ChatPrompt)
        prompt = with_settings(prompt, installed.overrides)
        return await asked(request, installed, Count(prompts=(pictures.placed(prompt),)), Counted)
