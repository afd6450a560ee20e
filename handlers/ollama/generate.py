"""POST /api/generate."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.errors import RequestRejected
from ...daemon.protocol import ChatPrompt, Generate, TextPrompt
from ..decode import unsupported
from ..durations import keep_alive
from ..endpoint import decoded
from ..failure import RequestError
from ..pictures.request_pictures import RequestPictures
from . import bodies
from .answer_lines import Lines
from .bodies import GenerateBody
from .chat import with_pictures
from .generation import (
    able,
    allowed_thinking,
    check_parts,
    lease,
    load_or_unload,
    rendered,
    requested,
    require_insert,
    run,
    thinking_budget,
    unknown,
)
from .given_template import check_template

if TYPE_CHECKING:
    from ...daemon.residency.slot import Model


_TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)
"""What Ollama says where `shift` is false."""


async def generate(request: Request) -> HTTPResponse | None:
    body = await decoded(request, bodies.generate_decoder) or GenerateBody()
    bodies.check(body)
    name = body.model or ""
    if not name:
        raise unknown("")
    seconds = keep_alive(body.keep_alive)
    lines = Lines("generate", name, with_logprobs=bool(body.logprobs))
    _check(body)
    if body.template:
        await asyncio.to_thread(check_template, body.template)
    if not body.prompt and not body.images and not body.suffix:
        check_parts(body)
        return await load_or_unload(request, lines, name, seconds, "generate")
    pictures = RequestPictures()
    wanted = requested(body, _prompt(body, pictures))
    body.images = None  # they may be large, and the request may wait for long
    stream = body.stream is not False
    check = able(body, name, insert=bool(body.suffix))
    async with lease(request, name, seconds, "generate", lines if stream else None, pictures, check) as model:
        try:
            return await _generate(request, body, name, model, wanted, lines, pictures)
        except RequestRejected as error:
            if error.code != "context_length_exceeded" or body.shift is not False:
                raise
            raise RequestError(f"{_TOO_LONG} ({error})", param="prompt", code=error.code) from None


async def _generate(
    request: Request,
    body: GenerateBody,
    name: str,
    model: Model,
    wanted: Generate,
    lines: Lines,
    pictures: RequestPictures,
) -> HTTPResponse | None:
    stream = body.stream is not False
    prompt = wanted.prompt
    if isinstance(prompt, TextPrompt) and prompt.suffix is not None:
        require_insert(model.installed, model.capabilities)
        wanted = msgspec.structs.replace(wanted, split_reasoning=False, want_context=True)
        return await run(request, model, wanted, lines, stream=stream)
    if not isinstance(prompt, ChatPrompt):
        allowed_thinking(body, name, model.capabilities)
        return await run(request, model, wanted, lines, stream=stream)
    prompt = msgspec.structs.replace(prompt, thinking=allowed_thinking(body, name, model.capabilities))
    if pictures:
        # Token ids say nothing of the pictures: neither a context of them nor a text cut to fit would be whole.
        wanted = pictures.into(msgspec.structs.replace(wanted, prompt=prompt))
        return await run(request, model, wanted, lines, stream=stream)
    wanted = msgspec.structs.replace(wanted, prompt=prompt, want_context=True)
    if body.context and not wanted.render_only:
        return await run(request, model, await _as_text(request, body, model, wanted), lines, stream=stream)
    try:
        return await run(request, model, wanted, lines, stream=stream)
    except RequestRejected as error:
        # A template cannot be cut; its text can.
        whole = not _may_cut(body) or prompt.thinking_budget is not None or wanted.render_only
        if error.code != "context_length_exceeded" or whole:
            raise
    return await run(request, model, await _as_text(request, body, model, wanted), lines, stream=stream)


async def _as_text(request: Request, body: GenerateBody, model: Model, wanted: Generate) -> Generate:
    """The same request with its template already rendered: a text that can follow a history and be cut."""
    text = TextPrompt(
        text=await rendered(request, model, wanted),
        add_special_tokens=False,
        history=tuple(body.context or ()),
        drop_middle=_may_cut(body),
        template=body.template or model.installed.overrides.template,
    )
    return msgspec.structs.replace(wanted, prompt=text)


def _prompt(body: GenerateBody, pictures: RequestPictures) -> ChatPrompt | TextPrompt:
    text = body.prompt or ""
    if body.suffix:
        return TextPrompt(text=text, suffix=body.suffix, drop_middle=_may_cut(body))
    if body.raw:
        return TextPrompt(text=text, drop_middle=_may_cut(body))
    content = with_pictures(text, body.images, "images", pictures) if body.images else text
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if body.system:
        messages.insert(0, {"role": "system", "content": body.system})
    budget = thinking_budget(body)
    return ChatPrompt(messages=tuple(messages), template=body.template or None, thinking_budget=budget)


def _may_cut(body: GenerateBody) -> bool:
    """Whether a prompt that is too long may lose its middle."""
    return body.truncate is not False and body.shift is not False


def _check(body: GenerateBody) -> None:
    """Raises RequestError in Ollama's wording."""
    if body.raw and (body.template or body.system or body.context):
        raise bodies.invalid("raw mode does not support template, system, or context", "raw")
    if thinking_budget(body) is not None and (body.raw or body.context or body.suffix):
        message = "thinking_budget goes with a prompt that the chat template writes: leave raw, context and suffix out"
        raise bodies.invalid(message, "thinking_budget")
    if body.suffix:
        _check_insertion(body)
    if body.images and body.raw:
        raise bodies.invalid("raw mode does not support images: use /api/chat, or leave raw out", "images")
    if body.images and body.context:
        raise bodies.invalid("context is not supported together with images: use /api/chat", "context")


def _check_insertion(body: GenerateBody) -> None:
    """Raises RequestError for what goes with a chat template only, which an insertion has none of."""
    if body.raw:
        message = "raw mode does not support suffix: write the model's own markers into the prompt, or leave raw out"
        raise bodies.invalid(message, "suffix")
    if body.template:
        raise unsupported("template", "an insertion has none; leave template or suffix out")
    for name in ("system", "context", "images"):
        if getattr(body, name):
            raise bodies.invalid(f"suffix is not supported together with {name}: leave {name} out", "suffix")
    if body.think:
        raise bodies.invalid("suffix is not supported together with think: leave think out", "suffix")
