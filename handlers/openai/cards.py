"""GET /v1/models and /v1/models/{id}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sanic import Request
from sanic.response import HTTPResponse

from ...daemon import store_threads
from ..endpoint import document, serving
from ..failure import RequestError

if TYPE_CHECKING:
    from ...store.store import Installed


async def listing(request: Request) -> HTTPResponse:
    context = serving(request)
    models = await store_threads.look(context.store.models)
    spellings = await store_threads.look(context.store.spellings)
    most = context.settings.engine.context_length
    cards = [_card(spellings.get(model.name) or model.name.display(), model, most) for model in models]
    return document({"object": "list", "data": cards})


async def one(request: Request, model_id: str) -> HTTPResponse:
    """The id as the client wrote it is the id that it gets back."""
    text = decoded_name(model_id)
    most = serving(request).settings.engine.context_length
    return document(_card(text, await store_threads.look(serving(request).store.find, text), most))


def decoded_name(model_id: str) -> str:
    """The name of a model from a path. Raises RequestError."""
    try:
        return unquote(model_id, errors="strict")
    except UnicodeDecodeError:
        raise RequestError("the model's name is not valid UTF-8", param="model", code="invalid_model_name") from None


def _card(identity: str, model: Installed, most: int | None) -> dict[str, Any]:
    """OpenAI's four fields, what the model can do, and how long its context is here. `most`: the settings' limit."""
    card: dict[str, Any] = {
        "id": identity,
        "object": "model",
        "created": int(model.modified.timestamp()),
        "owned_by": model.name.owner,
        "capabilities": list(model.manifest.capabilities),
    }
    if (length := model.context_length(most)) is not None:
        card["context_length"] = length
    return card
