"""POST /v1/rerank and /rerank."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.protocol import Ranked, Rerank
from .. import ranges
from ..decode import Fields, partly
from ..durations import keep_alive
from ..endpoint import RERANKING, decoded, document, leased
from ..failure import RequestError
from ..retrieval.input_checks import check_count, check_texts
from ..retrieval.single import ranked


class Document(msgspec.Struct):
    text: str


class RerankBody(msgspec.Struct, kw_only=True):
    """`raw_scores`: logits instead of their sigmoids. `truncate`: what is too long is cut, and marked."""

    model: ranges.ModelName
    query: str
    documents: list[str | Document]
    top_n: ranges.TokenCount | None = None
    return_documents: bool | None = None
    instruction: str | None = None
    raw_scores: bool | None = None
    truncate: bool | None = None
    keep_alive: Any = None


RERANK_FIELDS: Fields = {"instruction": partly("for Qwen3-Reranker; cross-encoders refuse it")}
_decoder = msgspec.json.Decoder(RerankBody)


async def rerank(request: Request) -> HTTPResponse:
    body = await decoded(request, _decoder)
    if not body.model:
        raise RequestError("name a model in 'model'", param="model", code="invalid_value")
    check_texts([body.query], "query")
    check_count(len(body.documents), "documents")
    texts = [item if isinstance(item, str) else item.text for item in body.documents]
    check_texts(texts, "documents")
    work = Rerank(
        query=body.query,
        documents=tuple(texts),
        instruction=body.instruction,
        truncate=bool(body.truncate),
    )
    async with leased(request, body.model, keep_alive(body.keep_alive), "reranking", kinds=RERANKING) as model:
        event = await ranked(request, model, work)
    return document(
        {
            "model": body.model,
            "object": "list",
            "results": _results(body, texts, event),
            "usage": {"prompt_tokens": event.prompt_tokens, "total_tokens": event.prompt_tokens},
        }
    )


def _results(body: RerankBody, texts: list[str], event: Ranked) -> list[dict[str, Any]]:
    """Best first; of equals the one that was sent first."""
    order = sorted(range(len(texts)), key=lambda place: -event.logits[place])
    cut = set(event.truncated)
    results = []
    for place in order[: body.top_n]:
        logit = event.logits[place]
        result: dict[str, Any] = {"index": place, "relevance_score": logit if body.raw_scores else _sigmoid(logit)}
        if body.return_documents is not False:
            result["document"] = {"text": texts[place]}
        if place in cut:
            result["truncated"] = True
        results.append(result)
    return results


def _sigmoid(logit: float) -> float:
    """Without overflow at either end."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    grown = math.exp(logit)
    return grown / (1 + grown)
