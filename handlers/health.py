"""The endpoints for operators and probes: root, health, readiness, metrics and the version."""

from __future__ import annotations

import asyncio

from sanic import Request
from sanic.response import HTTPResponse

from ..daemon import store_threads
from ..daemon.context import Context
from ..daemon.scrape import Sample
from ..store.errors import StoreError
from .endpoint import document, serving
from .failure import RequestError
from .page.browser import accepted, wants_html
from .page.page_files import front_page

INSTANCE = "X-Mlx-Serve-Instance"
"""The header that carries `Context.instance`."""
OLLAMA = "0.33.0"
"""Three dotted numbers: clients split at the dots and turn each part into an integer."""


async def root(request: Request) -> HTTPResponse:
    """The page for browsers; Ollama's clients look for these very words."""
    if wants_html(accepted(request)):
        return await front_page()
    headers = {"vary": "Accept"}
    return HTTPResponse("Ollama is running", headers=headers, content_type="text/plain; charset=utf-8")


async def healthz(request: Request) -> HTTPResponse:
    """The process answers; this says nothing about models. The header tells one daemon from another program."""
    answer = document({"status": "ok"})
    answer.headers[INSTANCE] = serving(request).instance
    return answer


async def readyz(request: Request) -> HTTPResponse:
    """503 only while the daemon stops: a model in quarantine makes it degraded, and still 200."""
    if serving(request).draining:
        return document({"status": "draining"}, status=503)
    quarantined = serving(request).residency.quarantined()
    if quarantined:  # the others are served
        models = [{"model": one.name, "reason": one.reason, "until": one.until} for one in quarantined]
        return document({"status": "degraded", "quarantined": models})
    return document({"status": "ready"})


async def metrics(request: Request) -> HTTPResponse:
    context = serving(request)
    if not context.settings.metrics.enabled:
        raise RequestError("metrics are off; set metrics.enabled to true", status=404, code="not_found")
    await context.residency.measure()
    found = sample(context, await _installed(context))
    context.metrics.forget_deleted(found)
    # In a thread, for it asks the system about processes.
    text = await asyncio.to_thread(context.metrics.render, found)
    return HTTPResponse(text, content_type="text/plain; version=0.0.4; charset=utf-8")


async def _installed(context: Context) -> frozenset[str] | None:
    """None where the store cannot be read now."""
    try:
        models = await store_threads.look(context.store.models)
    except StoreError:
        return None
    return frozenset(str(model.name.display()) for model in models)


def sample(context: Context, installed: frozenset[str] | None = None) -> Sample:
    residency = context.residency
    return Sample(
        version=context.version,
        started=context.started,
        draining=context.draining,
        residents=residency.resident(),
        queue=residency.queue,
        deaths=residency.deaths,
        quarantined=[one.name for one in residency.quarantined()],
        pressure=residency.pressure,
        tokenizers=residency.tokenizers.count,
        restarts=residency.restarts,
        pulled=context.pulls.fetched,
        installed=installed,
    )


async def version(request: Request) -> HTTPResponse:
    """The version of Ollama whose API is spoken, for clients that refuse an old one, and our own."""
    return document({"version": OLLAMA, "mlx_serve": serving(request).version})
