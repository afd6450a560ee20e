"""POST /api/embed, and the older /api/embeddings."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.errors import RequestRejected
from ...daemon.protocol import Embed, Embedded
from ...store.errors import InvalidName, UnknownModel
from .. import ranges
from ..decode import Fields, ignored, partly
from ..durations import keep_alive
from ..endpoint import EMBEDDING, decoded, leased, require_kind, serving
from ..failure import RequestError
from ..jsontext import encode
from ..model_options import options
from ..retrieval.input_checks import check_count
from ..retrieval.single import embedded
from ..retrieval.vectors import numbers
from .generation import answer, find, invalid
from .times import nanoseconds

if TYPE_CHECKING:
    from ...daemon.residency.slot import Model


class EmbedBody(msgspec.Struct, kw_only=True):
    """`prompt_name` is an addition."""

    model: ranges.ModelName | None = None
    input: Any = None
    truncate: bool | None = None
    dimensions: ranges.TokenCountOrZero | None = None
    keep_alive: Any = None
    options: dict[str, Any] | None = None
    prompt_name: ranges.Label | None = None


class EmbeddingsBody(msgspec.Struct, kw_only=True):
    model: ranges.ModelName | None = None
    prompt: str | None = None
    keep_alive: Any = None
    options: dict[str, Any] | None = None


EMBED_FIELDS: Fields = {
    "dimensions": partly("for models that were trained for it (Matryoshka) and say so; others refuse it"),
    "options": ignored("checked, and without effect on vectors"),
}
EMBEDDINGS_FIELDS: Fields = {"options": EMBED_FIELDS["options"]}
_embed_decoder = msgspec.json.Decoder(EmbedBody | None)
_embeddings_decoder = msgspec.json.Decoder(EmbeddingsBody | None)


async def embed(request: Request) -> HTTPResponse:
    body = await decoded(request, _embed_decoder) or EmbedBody()
    name = body.model or ""
    texts = _texts(body.input)
    options(body.options)
    if not name:
        raise RequestError("model '' not found", status=404, code="model_not_found")
    seconds = keep_alive(body.keep_alive)
    if not texts:
        await _load(request, name, seconds)
        return answer(encode({"model": name, "embeddings": []}))
    work = Embed(
        texts=texts,
        truncate=body.truncate is not False,
        dimensions=body.dimensions or None,
        prompt_name=body.prompt_name,
        normalize=True,
    )
    async with _lent(request, name, seconds) as model:
        event = await _vectors(request, model, work)
        load_seconds = model.load_seconds
    rows = b",".join([encode(vector) async for vector in numbers(event)])
    head = encode({"model": name})
    durations = {
        "total_duration": nanoseconds(time.monotonic() - request.ctx.started),
        "load_duration": nanoseconds(load_seconds),
        "prompt_eval_count": event.prompt_tokens,
        "prompt_truncated": bool(event.truncated),
    }
    tail = encode({key: value for key, value in durations.items() if value})
    return answer(head[:-1] + b',"embeddings":[' + rows + b"]," + tail[1:])


async def embeddings(request: Request) -> HTTPResponse:
    """One text, and its vector as it is before any normalising."""
    body = await decoded(request, _embeddings_decoder) or EmbeddingsBody()
    name = body.model or ""
    options(body.options)
    if not name:
        raise RequestError("model is required", param="model", code="missing_field")
    seconds = keep_alive(body.keep_alive)
    if not body.prompt:
        await _load(request, name, seconds)
        return answer(encode({"embedding": []}))
    async with _lent(request, name, seconds) as model:
        event = await _vectors(request, model, Embed(texts=(body.prompt,), truncate=True, normalize=False))
    vector = await anext(aiter(numbers(event)))
    return answer(encode({"embedding": vector}))


def _texts(value: Any) -> tuple[str, ...]:
    """Raises RequestError in Ollama's words."""
    if value is None or value == "":
        return ()
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RequestError("invalid input type", param="input", code="invalid_type")
    if texts:
        check_count(len(texts), "input")
    return tuple(texts)


@asynccontextmanager
async def _lent(request: Request, name: str, seconds: float | None) -> AsyncIterator[Model]:
    """A lease whose failures to find the model are in Ollama's words, which are others here than in a chat."""
    try:
        async with leased(request, name, seconds, "embeddings", kinds=EMBEDDING) as model:
            yield model
    except UnknownModel:
        raise _unknown(name) from None
    except InvalidName:
        raise invalid() from None


async def _load(request: Request, name: str, seconds: float | None) -> None:
    """A request without a text: bring the model in, or with keep_alive 0 put it out without ever loading it."""
    if seconds != 0:
        async with _lent(request, name, seconds):
            return
    try:
        installed = await find(request, name)
    except RequestError as error:
        raise (_unknown(name) if error.status == 404 else error) from None
    require_kind(installed.manifest.kind, name, "embeddings", EMBEDDING)
    await serving(request).residency.unload(installed)


async def _vectors(request: Request, model: Model, work: Embed) -> Embedded:
    try:
        return await embedded(request, model, work)
    except RequestRejected as error:
        if error.code != "context_length_exceeded":
            raise
        message = f"the input length exceeds the context length: {error}"
        raise RequestError(message, param=error.param, code=error.code) from None


def _unknown(name: str) -> RequestError:
    message = f'model "{name[:200]}" not found, try pulling it first'
    return RequestError(message, status=404, code="model_not_found")
