"""From what went wrong to the control API's status and sentence."""

from __future__ import annotations

import logging

import msgspec
from sanic.exceptions import SanicException
from sanic.request import Request
from sanic.response import HTTPResponse

from ..daemon import errors as daemon
from ..store import errors as store
from ..store.builtin import find_builtin
from .api_bodies import BadBody, ErrorAnswer, ErrorText

_log = logging.getLogger("mlx_serve.control")

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (BadBody, 400),
    (store.InvalidName, 400),
    (store.RepositoryNotFound, 404),
    (store.AccessDenied, 403),
    (store.RateLimited, 429),
    (store.HubUnreachable, 503),
    (store.HubError, 502),
    (store.SourceError, 400),
    (store.UnknownModel, 404),
    (store.AmbiguousName, 409),
    (store.UnsupportedModel, 422),
    (store.NoSpace, 507),
    (store.ReadOnlyStore, 403),
    (store.StoreBusy, 409),
    (store.StoreError, 500),
    (daemon.QueueFull, 503),
    (daemon.Draining, 503),
    (daemon.UnsupportedByModel, 422),
    (daemon.InsufficientMemory, 507),
    (daemon.RequestRejected, 400),
    (daemon.WrongKind, 400),
    (daemon.DaemonError, 500),
)


def status_of(error: BaseException) -> int:
    if isinstance(error, SanicException):
        return error.status_code
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def text_of(error: BaseException) -> ErrorText:
    """The sentence for the user. An error nobody foresaw goes to the log in full and out as one plain line."""
    if isinstance(error, SanicException) or any(isinstance(error, kind) for kind, _ in _STATUS):
        missing_builtin = isinstance(error, store.UnknownModel) and find_builtin(error.name) is not None
        return ErrorText(message=str(error), hint=getattr(error, "hint", None), builtin=missing_builtin)
    _log.error("fail control request error=%s", type(error).__name__, exc_info=error)
    return ErrorText(message="the daemon made a mistake of its own", hint="see: mlx-serve logs")


def line_of(error: BaseException) -> ErrorAnswer:
    return ErrorAnswer(error=text_of(error))


def render(request: Request, error: Exception) -> HTTPResponse:
    return HTTPResponse(msgspec.json.encode(line_of(error)), status=status_of(error), content_type="application/json")
