"""What can be asked of a response that is kept: itself, its input, to be forgotten; of one that is under way, itself
and to be cancelled."""

from __future__ import annotations

from sanic import Request
from sanic.response import HTTPResponse

from ..decode import unsupported
from ..endpoint import document
from ..failure import RequestError
from ..guard.keys import owner
from .input_items import shown
from .kept import KeptResponse
from .refusals import invalid
from .respond import kept_responses, responses_under_way

MOST_ITEMS = 100


async def retrieve(request: Request, response_id: str) -> HTTPResponse:
    """GET /v1/responses/{id}."""
    if request.args.get("stream", "false").lower() not in ("false", "0"):
        raise unsupported("stream", "a response that has ended is given whole")
    running = responses_under_way(request).find(owner(request), response_id)
    if running is not None:
        return document(running.events.so_far("in_progress"))
    found = _found(request, response_id)
    return HTTPResponse(found.document, content_type="application/json; charset=utf-8")


async def delete(request: Request, response_id: str) -> HTTPResponse:
    """DELETE /v1/responses/{id}."""
    if not kept_responses(request).delete(owner(request), response_id):
        raise _missing(response_id)
    return document({"id": response_id, "object": "response", "deleted": True})


async def one(request: Request, response_id: str) -> HTTPResponse:
    """The response at this path, given or deleted."""
    return await (delete if request.method == "DELETE" else retrieve)(request, response_id)


async def cancel(request: Request, response_id: str) -> HTTPResponse:
    """POST /v1/responses/{id}/cancel, of a response that is being streamed."""
    running = responses_under_way(request).find(owner(request), response_id)
    if running is not None:
        return document(running.cancel())
    _found(request, response_id)
    raise RequestError(
        "Cannot cancel a synchronous response: this one has ended. One that is being streamed can be cancelled.",
        code="invalid_value",
        param="response_id",
    )


async def input_items(request: Request, response_id: str) -> HTTPResponse:
    """GET /v1/responses/{id}/input_items: newest first unless `order` is asc."""
    items = list(_found(request, response_id).input)
    order, limit, after = request.args.get("order", "desc"), request.args.get("limit", "20"), request.args.get("after")
    if order not in ("asc", "desc"):
        raise invalid("order", "use 'asc' or 'desc'")
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= MOST_ITEMS:
        raise invalid("limit", f"it is a number from 1 to {MOST_ITEMS}")
    if order == "desc":
        items.reverse()
    if after is not None:
        places = [place for place, item in enumerate(items) if item.id == after]
        if not places:
            raise invalid("after", "it is the id of an item of this response")
        items = items[places[0] + 1 :]
    page = [shown(item.data) for item in items[: int(limit)]]
    return document(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(items) > len(page),
        }
    )


def _found(request: Request, response_id: str) -> KeptResponse:
    found = kept_responses(request).find(owner(request), response_id)
    if found is None:
        raise _missing(response_id)
    return found


def _missing(response_id: str) -> RequestError:
    return RequestError(
        f"Response with id '{response_id[:128]}' not found: it was not stored, or newer ones took its place.",
        status=404,
        code="response_not_found",
        param="response_id",
    )
