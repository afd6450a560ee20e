"""One renderer of failures per dialect, and the one exception handler of the HTTP layer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sanic import Request, Sanic
from sanic.handlers import ErrorHandler
from sanic.response import HTTPResponse

from .failure import Failure, describe, expected
from .jsontext import encode

log = logging.getLogger("mlx_serve.handlers")

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    499: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_MODELS = "/v1/models"


def openai(failure: Failure) -> dict[str, Any]:
    kind = "server_error" if failure.status >= 500 or failure.status == 429 else "invalid_request_error"
    return {"error": {"message": openai_message(failure), "type": kind, "param": failure.param, "code": failure.code}}


def openai_message(failure: Failure) -> str:
    """A prompt that is too long is said in the words by which OpenAI's clients know it: litellm, LangChain, Qwen Code,
    Continue and pi each look for another part of them. The engine's advice, behind its last colon, is kept."""
    if failure.excess is None:
        return failure.message
    tokens, most = failure.excess
    return (
        f"prompt is too long, it exceeds the context window: this model's maximum context length is {most} tokens, "
        f"and the input resulted in {tokens} tokens; {failure.message.rpartition(': ')[2]}"
    )


def ollama(failure: Failure) -> dict[str, Any]:
    return {"error": failure.message}


def anthropic(failure: Failure, request_id: str) -> dict[str, Any]:
    """The sentence names the field at fault, for which there is no place beside it. That of a prompt that is too long
    is Anthropic's own: clients read the two numbers out of it."""
    kind = _ANTHROPIC_TYPES.get(failure.status, "api_error" if failure.status >= 500 else "invalid_request_error")
    message = failure.message
    if failure.status == 400 and failure.param is not None and failure.param not in message:
        message = f"{failure.param}: {message}"
    if failure.excess is not None:
        tokens, most = failure.excess
        message = f"prompt is too long: {tokens} tokens > {most} maximum"
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def is_anthropic(request: Request) -> bool:
    """Whether a client of Anthropic's asks: its endpoints are its own but for the list of models, where a header
    tells."""
    path = request.path
    if _within(path, _MODELS):
        return "anthropic-version" in request.headers
    return _within(path, "/v1/messages")


def control(failure: Failure) -> dict[str, Any]:
    return {"error": {"message": failure.message}}


_DIALECTS: tuple[tuple[str, Callable[[Failure], dict[str, Any]]], ...] = (
    ("/api", ollama),
    ("/control", control),
)


def _within(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


def body(request: Request, failure: Failure) -> dict[str, Any]:
    """The error document in the dialect of the request."""
    if is_anthropic(request):
        return anthropic(failure, str(request.id))
    for prefix, renderer in _DIALECTS:
        if _within(request.path, prefix):
            return renderer(failure)
    return openai(failure)


def dialect(path: str) -> str:
    """Whose errors those of the path are, for clients that do not say more: openai, anthropic, ollama or control."""
    if _within(path, "/v1/messages"):
        return "anthropic"
    return next((renderer.__name__ for prefix, renderer in _DIALECTS if _within(path, prefix)), "openai")


def respond(request: Request, failure: Failure) -> HTTPResponse:
    return HTTPResponse(
        encode(body(request, failure)),
        status=failure.status,
        headers=failure.headers,
        content_type="application/json",
    )


def render(request: Request, exception: BaseException) -> HTTPResponse:
    """The response for an exception; an unexpected one is logged with its traceback."""
    note(exception, str(request.id))
    return respond(request, describe(exception))


def note(exception: BaseException, number: str) -> None:
    """An unexpected one goes to the log, with the id of its request."""
    if not expected(exception):
        fields = {"fields": {"id": number}}
        log.error("fail request reason=%s", type(exception).__name__, exc_info=exception, extra=fields)


class Renderer(ErrorHandler):
    """Renders what no other handler is registered for. Sanic's own would answer browsers in HTML."""

    def response(self, request: Request, exception: BaseException) -> Any:
        registered = self._lookup(exception, request.name if request.route else None)
        return registered(request, exception) if registered else render(request, exception)


def install(app: Sanic[Any, Any]) -> None:
    """Handlers that are registered already, and later, keep their routes."""
    renderer = Renderer()
    renderer.cached_handlers.update(app.error_handler.cached_handlers)
    app.error_handler = renderer
