"""POST /v1/embeddings."""

from __future__ import annotations

from typing import Any

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.protocol import Embed, Embedded
from .. import ranges
from ..decode import Fields, ignored, partly
from ..durations import keep_alive
from ..endpoint import EMBEDDING, decoded, leased
from ..failure import RequestError
from ..jsontext import encode
from ..retrieval.input_checks import check_count, check_texts
from ..retrieval.single import embedded
from ..retrieval.vectors import encoded, numbers

FORMATS = ("float", "base64")


class EmbeddingBody(msgspec.Struct, kw_only=True):
    """`prompt_name`, `input_type` and `truncate` are additions; what they mean is in the engine's Embed."""

    model: ranges.ModelName
    input: str | list[str | ranges.TokenId | list[ranges.TokenId]]
    encoding_format: str | None = None
    dimensions: ranges.TokenCount | None = None
    user: Any = None
    prompt_name: ranges.Label | None = None
    input_type: ranges.Label | None = None
    truncate: bool | None = None
    keep_alive: Any = None


EMBEDDING_FIELDS: Fields = {
    "dimensions": partly("for models that were trained for it (Matryoshka) and say so; others refuse it"),
    "user": ignored("nobody is told"),
}
_decoder = msgspec.json.Decoder(EmbeddingBody)


async def embed(request: Request) -> HTTPResponse:
    body = await decoded(request, _decoder)
    form = "float" if body.encoding_format is None else body.encoding_format.lower()
    if form not in FORMATS:
        message = f"'encoding_format' must be one of {', '.join(FORMATS)}"
        raise RequestError(message, param="encoding_format", code="invalid_value")
    if not body.model:
        raise RequestError("name a model in 'model'", param="model", code="invalid_value")
    work = _work(body)
    async with leased(request, body.model, keep_alive(body.keep_alive), "embeddings", kinds=EMBEDDING) as model:
        event = await embedded(request, model, work)
    return HTTPResponse(
        await _document(body.model, event, base64=form == "base64"), content_type="application/json; charset=utf-8"
    )


def _work(body: EmbeddingBody) -> Embed:
    texts, ids = _inputs(body.input)
    return Embed(
        texts=tuple(texts),
        ids=tuple(map(tuple, ids)),
        prompt_name=body.prompt_name,
        input_type=body.input_type,
        truncate=bool(body.truncate),
        dimensions=body.dimensions,
    )


def _inputs(given: str | list[str | int | list[int]]) -> tuple[list[str], list[list[int]]]:
    """Texts, or lists of token ids. Raises RequestError."""
    if isinstance(given, str):
        check_texts([given], "input")
        return [given], []
    ids = [item for item in given if isinstance(item, int)]
    if ids and len(ids) == len(given):
        return [], [ids]
    check_count(len(given), "input")
    texts = [item for item in given if isinstance(item, str)]
    if len(texts) == len(given):
        check_texts(texts, "input")
        return texts, []
    lists = [item for item in given if isinstance(item, list)]
    if len(lists) == len(given) and all(lists):
        return [], lists
    message = "'input' must be a string, a list of strings, a list of token ids, or a list of such lists; none empty"
    raise RequestError(message, param="input", code="invalid_value")


async def _document(name: str, event: Embedded, *, base64: bool) -> bytes:
    """An input that was cut is marked with `truncated`."""
    cut = set(event.truncated)
    vectors: list[bytes]
    vectors = [encode(text) for text in encoded(event)] if base64 else [encode(one) async for one in numbers(event)]
    entries = [
        b'{"object":"embedding","index":%d,"embedding":%b%b}' % (place, vector, b',"truncated":true' * (place in cut))
        for place, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": event.prompt_tokens, "total_tokens": event.prompt_tokens}
    tail = encode({"model": name, "usage": usage})
    return b'{"object":"list","data":[' + b",".join(entries) + b"]," + tail[1:]
