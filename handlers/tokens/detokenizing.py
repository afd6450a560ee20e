"""POST /v1/detokenize."""

from __future__ import annotations

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.protocol import Detokenize, Detokenized
from .. import ranges
from ..decode import Fields, partly
from ..endpoint import decoded, document
from ..failure import RequestError
from ..retrieval.input_checks import check_count
from .asking import asked, named

MOST_TOKENS = 1 << 20


class DetokenizeBody(msgspec.Struct, kw_only=True):
    """One list of token ids, or several."""

    model: ranges.ModelName
    tokens: list[ranges.TokenId | list[ranges.TokenId]]
    skip_special_tokens: bool | None = None


DETOKENIZE_FIELDS: Fields = {
    "tokens": partly(f"1 to 2,048 lists, {MOST_TOKENS:,} ids together; every id must have a token"),
}
_decoder = msgspec.json.Decoder(DetokenizeBody)


async def detokenize(request: Request) -> HTTPResponse:
    body = await decoded(request, _decoder)
    sequences = _sequences(body.tokens)
    total = sum(map(len, sequences))
    if total > MOST_TOKENS:
        message = f"'tokens' has {total} ids, and {MOST_TOKENS} is the most of one request"
        raise RequestError(message, param="tokens", code="invalid_value")
    work = Detokenize(sequences=sequences, skip_special_tokens=bool(body.skip_special_tokens))
    async with named(request, body.model) as installed:
        event = await asked(request, installed, work, Detokenized)
    data = [{"index": place, "object": "text", "text": text} for place, text in enumerate(event.texts)]
    return document({"model": body.model, "object": "list", "data": data, "usage": {"total_tokens": total}})


def _sequences(given: list[int | list[int]]) -> tuple[tuple[int, ...], ...]:
    """Raises RequestError."""
    ids = [item for item in given if isinstance(item, int)]
    if ids and len(ids) == len(given):
        return (tuple(ids),)
    lists = [tuple(item) for item in given if isinstance(item, list)]
    if len(lists) != len(given):
        message = "'tokens' must be a list of token ids, or a list of such lists"
        raise RequestError(message, param="tokens", code="invalid_value")
    check_count(len(lists), "tokens")
    return tuple(lists)
