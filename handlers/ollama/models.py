"""Ollama's view of the models: tags, ps, show, copy, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sanic import Request
from sanic.response import HTTPResponse

from ...daemon import store_threads
from ...daemon.residency.remove import remove
from ...store.disk.manifests import Overrides
from ...store.errors import InvalidName, UnknownModel
from ...store.names import Name
from ..endpoint import decoded, document, serving
from ..failure import RequestError
from ..model_options import known
from . import bodies
from .generation import invalid
from .show import details, shown
from .times import expiry, local

if TYPE_CHECKING:
    from ...daemon.residency.lease import Resident
    from ...store.store import Installed


async def tags(request: Request) -> HTTPResponse:
    store = serving(request).store
    models, spellings = await store_threads.look(store.models), await store_threads.look(store.spellings)
    return document({"models": [_tag(model, tagged(model.name, spellings)) for model in models]})


async def ps(request: Request) -> HTTPResponse:
    residency = serving(request).residency
    await residency.measure()
    spellings = await store_threads.look(serving(request).store.spellings)
    residents = residency.resident()
    residents.sort(key=lambda resident: (resident.expires_at is None, resident.expires_at or 0.0), reverse=True)
    return document({"models": [_process(one, tagged(one.installed.name, spellings)) for one in residents]})


async def show(request: Request) -> HTTPResponse:
    body = await decoded(request, bodies.show_decoder) or bodies.Show()
    if not body.text:
        raise RequestError("model is required", param="model", code="missing_field")
    given = Overrides(system=body.system, template=body.template, parameters=known(body.options))
    try:
        model = await store_threads.look(serving(request).store.find, body.text)
    except InvalidName:
        raise invalid() from None
    except UnknownModel:
        tagged = body.text if ":" in body.text else f"{body.text}:latest"
        raise RequestError(f"model '{tagged}' not found", status=404, code="model_not_found") from None
    facts = await store_threads.work(shown, serving(request).store, model, given, verbose=bool(body.verbose))
    return document(facts)


async def copy(request: Request) -> HTTPResponse:
    body = await decoded(request, bodies.copy_decoder) or bodies.Copy()
    store = serving(request).store
    try:
        await store_threads.look(store.find, body.source)
    except InvalidName:
        raise RequestError(f'source "{body.source[:200]}" is invalid', param="source") from None
    except UnknownModel:
        raise RequestError(f'model "{body.source}" not found', status=404, code="model_not_found") from None
    try:
        Name.parse(body.destination)
    except InvalidName:
        raise RequestError(f'destination "{body.destination[:200]}" is invalid', param="destination") from None
    await store_threads.work(store.copy, body.source, body.destination)
    return HTTPResponse(status=200)


async def delete(request: Request) -> HTTPResponse:
    body = await decoded(request, bodies.named_decoder) or bodies.Named()
    context = serving(request)
    try:
        model = await store_threads.look(context.store.find, body.text)
    except InvalidName:
        raise RequestError(f'name "{body.text[:200]}" is invalid', param="model") from None
    except UnknownModel:
        raise RequestError(f"model '{body.text}' not found", status=404, code="model_not_found") from None
    await remove(context.store, context.residency, str(model.name))
    return HTTPResponse(status=200)


def tagged(name: Name, spellings: Mapping[Name, str]) -> str:
    """A model's name as Ollama lists it: always with its tag."""
    shown = spellings.get(name) or name.display()
    return shown if ":" in shown else f"{shown}:{name.tag}"


def _tag(model: Installed, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "model": name,
        "modified_at": local(model.modified),
        "size": model.size,
        "digest": model.digest,
        "details": details(model),
        "capabilities": list(model.manifest.capabilities),
    }


def _process(resident: Resident, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "model": name,
        "size": resident.memory_bytes,
        "digest": resident.installed.digest,
        "details": details(resident.installed),
        "expires_at": expiry(resident.expires_at),
        "size_vram": 0 if resident.hello.backend == "cpu" else resident.memory_bytes,
        "context_length": resident.context_length,
    }
