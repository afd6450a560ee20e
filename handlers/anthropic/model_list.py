"""GET /v1/models and /v1/models/{id} for clients of Anthropic's, who send `anthropic-version`; others get OpenAI's."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from sanic import Request
from sanic.response import HTTPResponse

from ...daemon import store_threads
from ..endpoint import document, serving
from ..error_bodies import is_anthropic
from ..openai import cards
from .bodies import invalid

if TYPE_CHECKING:
    from ...store.store import Installed

USUAL, MOST = 20, 1000


async def listing(request: Request) -> HTTPResponse:
    if not is_anthropic(request):
        return await cards.listing(request)
    limit, after, before = _limit(request), request.args.get("after_id"), request.args.get("before_id")
    if after is not None and before is not None:
        raise invalid("before_id", "it and 'after_id' exclude each other")
    store = serving(request).store
    models, spellings = await store_threads.look(store.models), await store_threads.look(store.spellings)
    entries = [_entry(spellings.get(model.name) or model.name.display(), model) for model in models]
    if before is not None:
        entries = entries[: _place(entries, before, "before_id")]
        page, more = entries[-limit:], len(entries) > limit
    else:
        entries = entries[0 if after is None else _place(entries, after, "after_id") + 1 :]
        page, more = entries[:limit], len(entries) > limit
    return document(
        {
            "data": page,
            "has_more": more,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
        }
    )


async def one(request: Request, model_id: str) -> HTTPResponse:
    if not is_anthropic(request):
        return await cards.one(request, model_id)
    name = cards.decoded_name(model_id)
    return document(_entry(name, await store_threads.look(serving(request).store.find, name)))


def _limit(request: Request) -> int:
    given = request.args.get("limit")
    if given is None:
        return USUAL
    if not (given.isascii() and given.isdigit() and len(given) <= 9 and 1 <= int(given) <= MOST):
        raise invalid("limit", f"expected a number from 1 to {MOST}")
    return int(given)


def _place(entries: list[dict[str, Any]], identity: str, param: str) -> int:
    for place, entry in enumerate(entries):
        if entry["id"] == identity:
            return place
    raise invalid(param, "there is no such model")


def _entry(identity: str, model: Installed) -> dict[str, Any]:
    return {
        "type": "model",
        "id": identity,
        "display_name": identity,
        "created_at": model.modified.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
    }
