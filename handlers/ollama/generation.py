"""What Ollama's chat and generate share: find the model, load and unload it, run one sequence, answer in lines."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ...daemon import store_threads
from ...daemon.protocol import Accepted, Generate, Prompt
from ...store.errors import InvalidName, UnknownModel
from ..endpoint import Check, first_events, leased, require_kind, sequences, serving
from ..failure import RequestError
from ..model_options import options
from ..sequences import answers
from ..stream import NDJSON, Stream, relay
from .answer_lines import Lines, final, record
from .bodies import FALLBACK, GenerationBody, Thinking, grammar, logprobs, thinking

if TYPE_CHECKING:
    from ...daemon.residency.slot import Model
    from ...store.store import Installed
    from ..pictures.request_pictures import RequestPictures

JSON = "application/json; charset=utf-8"
_BUDGET_OPTION = "options.thinking_budget"


def unknown(name: str) -> RequestError:
    return RequestError(f"model '{name[:200]}' not found", status=404, code="model_not_found")


def invalid() -> RequestError:
    return RequestError("invalid model name", code="invalid_model_name")


async def find(request: Request, name: str) -> Installed:
    """Raises RequestError in Ollama's wording."""
    try:
        return await store_threads.look(serving(request).store.find, name)
    except UnknownModel:
        raise unknown(name) from None
    except InvalidName:
        raise invalid() from None


@asynccontextmanager
async def lease(
    request: Request,
    name: str,
    keep_alive: float | None,
    capability: str,
    lines: Lines | None,
    pictures: RequestPictures | None = None,
    check: Check = lambda installed: None,
) -> AsyncIterator[Model]:
    """A lease; a model that is not found is reported in Ollama's wording. `lines` of an answer that is a stream;
    `pictures` and `check` as in `leased`."""
    heartbeat = None if lines is None else lines.heartbeat
    try:
        async with leased(request, name, keep_alive, capability, heartbeat, pictures=pictures, check=check) as model:
            yield model
    except UnknownModel:
        raise unknown(name) from None
    except InvalidName:
        raise invalid() from None


def answer(document: bytes) -> HTTPResponse:
    return HTTPResponse(document, content_type=JSON)


async def load_or_unload(
    request: Request, lines: Lines, name: str, keep_alive: float | None, capability: str
) -> HTTPResponse:
    """A request without a prompt: load the model, or with keep_alive 0 unload it without ever loading it."""
    residency = serving(request).residency
    if keep_alive == 0:
        installed = await find(request, name)
        require_kind(installed.manifest.kind, name, capability)
        await residency.unload(installed)
        return answer(lines.document("", "", [], {"done": True, "done_reason": "unload"}))
    async with lease(request, name, keep_alive, capability, None):
        pass
    return answer(lines.document("", "", [], {"done": True, "done_reason": "load"}))


def requested(body: GenerationBody, prompt: Prompt) -> Generate:
    """Everything that does not depend on the model. Raises RequestError."""
    wanted = options(body.options)
    return Generate(
        prompt=prompt,
        sampling=wanted.sampling,
        fallback=FALLBACK,
        stop=wanted.stop,
        max_tokens=wanted.max_tokens,
        context_length=wanted.context_length,
        logprobs=logprobs(body),
        grammar=grammar(body),
        render_only=bool(body.debug_render_only),
    )


def check_parts(body: GenerationBody) -> None:
    """Of a request that only loads or unloads: what it says of an answer must be right all the same. Raises
    RequestError."""
    thinking(body)
    options(body.options)
    grammar(body)


def allowed_thinking(body: GenerationBody, name: str, capabilities: Collection[str]) -> Thinking:
    """A model that can think does so unless `think` is false. Raises RequestError for one that cannot and shall."""
    wanted = thinking(body)
    can = "thinking" in capabilities
    budget = thinking_budget(body) is not None
    if (wanted or budget) and not can:
        param = "think" if wanted else "thinking_budget" if body.thinking_budget is not None else _BUDGET_OPTION
        raise RequestError(f'"{name}" does not support thinking', param=param, code="unsupported_parameter")
    return True if wanted is None and can else wanted


def thinking_budget(body: GenerationBody) -> int | None:
    """After how many tokens a thought is to end, said beside `options` or in them. Raises RequestError."""
    return options(body.options).thinking_budget if body.thinking_budget is None else body.thinking_budget


def require_tools(installed: Installed, capabilities: Collection[str]) -> None:
    """Raises RequestError."""
    if "tools" not in capabilities:
        message = f"{installed.name} does not support tools"
        raise RequestError(message, param="tools", code="unsupported_parameter")


def require_insert(installed: Installed, capabilities: Collection[str]) -> None:
    """Raises RequestError."""
    if "insert" not in capabilities:
        message = f"{installed.name} does not support insert"
        raise RequestError(message, param="suffix", code="unsupported_parameter")


def able(body: GenerationBody, name: str, *, tools: bool = False, insert: bool = False) -> Check:
    """Refuses what a model cannot do by what the listings say of it."""

    def check(installed: Installed) -> None:
        capabilities = installed.manifest.capabilities
        if tools:
            require_tools(installed, capabilities)
        if insert:
            require_insert(installed, capabilities)
        allowed_thinking(body, name, capabilities)

    return check


def narrowed(request: Generate, model: Model) -> Generate:
    """No context is longer than the model's."""
    if request.context_length is None or request.context_length <= model.info.context_length:
        return request
    return msgspec.structs.replace(request, context_length=model.info.context_length)


async def run(request: Request, model: Model, wanted: Generate, lines: Lines, *, stream: bool) -> HTTPResponse | None:
    """One sequence, streamed or not."""
    async with sequences(request, model, [narrowed(wanted, model)]) as running:
        accepted = (await first_events(request, running, lines.heartbeat if stream else None))[0]
        if accepted.rendered is not None:
            debug = {"done": False, "_debug_info": {"rendered_template": accepted.rendered}}
            document = lines.document("", "", [], debug)
            if (begun := Stream.of(request)) is None:
                return answer(document)
            await begun.end(document + b"\n")
            return None
        if not stream:
            whole = (await answers(running))[0]
            return answer(lines.whole(whole, final(whole.end, accepted, **_times(request, model))))
        out = await Stream.open(request, NDJSON)
        await out.send(b"")

        def closing() -> bytes:
            return lines.document("", "", [], final(lines.end, accepted, **_times(request, model))) + b"\n"

        await relay(out, running, lines.frames, record, closing, heartbeat=lines.heartbeat)
        return None


async def rendered(request: Request, model: Model, wanted: Generate) -> str:
    """The text that the model's template makes of a chat prompt."""
    only = msgspec.structs.replace(wanted, render_only=True)
    async with sequences(request, model, [narrowed(only, model)]) as running:
        accepted: Accepted = (await running.accepted())[0]
    return accepted.rendered or ""


def _times(request: Request, model: Model) -> dict[str, float]:
    return {"total_seconds": time.monotonic() - request.ctx.started, "load_seconds": model.load_seconds}
