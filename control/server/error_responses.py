"""Maps exceptions to the control API's status and error body."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec
from sanic.exceptions import SanicException
from sanic.request import Request
from sanic.response import HTTPResponse

from ...daemon import errors as daemon
from ...daemon.settings.value import ConfigError
from ...daemon.tasks.pulls import downloadable
from ...store import errors as store
from .request_bodies import InvalidBody
from .response_bodies import ErrorDetail, ErrorResponse

_log = logging.getLogger("mlx_serve.control")

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (InvalidBody, 400),
    (ConfigError, 422),
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
    (daemon.Quarantined, 503),
    (daemon.UnknownRequest, 404),
    (daemon.InsufficientMemory, 507),
    (daemon.RequestRejected, 400),
    (daemon.WrongKind, 400),
    (daemon.DaemonError, 500),
)


def status_of(error: BaseException) -> int:
    if isinstance(error, SanicException):
        return error.status_code
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def detail_of(error: BaseException, aliases: Mapping[str, str]) -> ErrorDetail:
    """The error for the user. An unexpected exception is logged in full and answered with one general sentence."""
    if isinstance(error, SanicException) or any(isinstance(error, kind) for kind, _ in _STATUS):
        return ErrorDetail(message=str(error), hint=getattr(error, "hint", None), pullable=_pullable(error, aliases))
    _log.error("fail control request error=%s", type(error).__name__, exc_info=error)
    return ErrorDetail(message="internal error in the daemon", hint="see its log: mlx-serve logs")


def _pullable(error: BaseException, aliases: Mapping[str, str]) -> bool:
    """Whether a model that is not installed has a name that can be pulled."""
    return isinstance(error, store.UnknownModel) and downloadable(error.name, aliases) is not None


def response_of(request: Request, error: BaseException) -> ErrorResponse:
    return ErrorResponse(error=detail_of(error, request.app.ctx.serving.settings.models.aliases))


def render(request: Request, error: Exception) -> HTTPResponse:
    body = msgspec.json.encode(response_of(request, error))
    return HTTPResponse(body, status=status_of(error), content_type="application/json")
