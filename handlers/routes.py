"""Every public route, in one table."""

from __future__ import annotations

import re
from typing import Any

from sanic import Request, Sanic
from sanic.response import BaseHTTPResponse

from . import error_bodies as errors
from . import health as operation
from .anthropic import count_message_tokens, create_message, model_list
from .api_document import documentation
from .endpoint import Handler, measured, serving
from .guard import check as guard
from .guard.throttle import Throttle
from .jina import rerank as jina
from .ollama import chat as ollama_chat
from .ollama import create as ollama_create
from .ollama import embed as ollama_embed
from .ollama import generate as ollama_generate
from .ollama import models as ollama_models
from .ollama import pull as ollama_pull
from .ollama import uploads as ollama_blobs
from .openai import chat as openai
from .openai import completions, embeddings
from .page import live_status, page_files
from .responses import input_tokens
from .responses import kept_endpoints as kept_responses
from .responses import respond as responses
from .tokens import counting, detokenizing

_GET = ("GET",)
_HEAD = ("GET", "HEAD")
_POST = ("POST",)
_PARAMETER = re.compile(r"<(?:\w+_)?(\w+):\w+>")

ROUTES: tuple[tuple[str, tuple[str, ...], Handler], ...] = (
    ("/", _HEAD, operation.root),
    ("/healthz", _HEAD, operation.healthz),
    ("/readyz", _HEAD, operation.readyz),
    ("/metrics", _HEAD, operation.metrics),
    ("/openapi.json", _HEAD, documentation.openapi),
    ("/docs", _HEAD, documentation.docs),
    ("/page/status", _HEAD, live_status.live_status),
    ("/page/<file:str>", _HEAD, page_files.page_file),
    ("/v1/chat/completions", _POST, openai.chat),
    ("/v1/completions", _POST, completions.complete),
    ("/v1/responses", _POST, responses.respond),
    ("/v1/responses/input_tokens", _POST, input_tokens.input_tokens),
    ("/v1/responses/<response_id:str>", (*_HEAD, "DELETE"), kept_responses.one),
    ("/v1/responses/<response_id:str>/cancel", _POST, kept_responses.cancel),
    ("/v1/responses/<response_id:str>/input_items", _HEAD, kept_responses.input_items),
    ("/v1/embeddings", _POST, embeddings.embed),
    ("/v1/messages", _POST, create_message.create),
    ("/v1/messages/count_tokens", _POST, count_message_tokens.count),
    ("/v1/rerank", _POST, jina.rerank),
    ("/rerank", _POST, jina.rerank),
    ("/v1/tokenize", _POST, counting.tokenize),
    ("/v1/detokenize", _POST, detokenizing.detokenize),
    ("/v1/models", _HEAD, model_list.listing),
    ("/v1/models/<model_id:path>", _HEAD, model_list.one),
    ("/api/version", _HEAD, operation.version),
    ("/api/chat", _POST, ollama_chat.chat),
    ("/api/generate", _POST, ollama_generate.generate),
    ("/api/embed", _POST, ollama_embed.embed),
    ("/api/embeddings", _POST, ollama_embed.embeddings),
    ("/api/tags", _HEAD, ollama_models.tags),
    ("/api/ps", _GET, ollama_models.ps),
    ("/api/show", _POST, ollama_models.show),
    ("/api/copy", _POST, ollama_models.copy),
    ("/api/delete", ("DELETE",), ollama_models.delete),
    ("/api/pull", _POST, ollama_pull.pull),
    ("/api/push", _POST, ollama_pull.push),
    ("/api/create", _POST, ollama_create.create),
    ("/api/blobs/<digest:str>", ("HEAD", "POST"), ollama_blobs.blob),
)


def label(path: str) -> str:
    """The path as clients read it: `/v1/models/{id}`."""
    return _PARAMETER.sub(r"{\1}", path)


def _count_refused(request: Request, response: BaseHTTPResponse) -> None:
    """An answer to what no handler has seen, be it the guard's or because there is no such endpoint."""
    if getattr(request.ctx, "open", None) is None:
        endpoint = None if request.route is None else label(f"/{request.route.path}")
        serving(request).metrics.request_refused(endpoint, response.status)


def register(app: Sanic[Any, Any], *, control: bool) -> None:
    """Add every public route. `control`: this app is the one on the Unix socket, whose callers need no guard."""
    app.ctx.control = control
    errors.install(app)
    if not control:
        app.ctx.throttle = Throttle()
        app.register_middleware(guard.check, "request")
        app.register_middleware(guard.allow_origin, "response")
        app.register_middleware(_count_refused, "response")
    app.ctx.documentation = documentation.Documentation((label(path), methods) for path, methods, _ in ROUTES)
    for path, methods, handler in ROUTES:
        name = re.sub(r"\{\w+\}", "one", label(path)).strip("/").replace("/", "_").replace(".", "_") or "root"
        # stream: no body is read before the guard has let the request pass. error_format: else Sanic parses our source.
        app.add_route(
            measured(label(path), handler), path, methods=methods, name=name, stream=True, error_format="json"
        )
