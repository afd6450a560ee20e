"""How a failure is reported to clients: one table from exception type to status and code.

It knows nothing of dialects; `error_bodies` renders a Failure in each of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sanic import exceptions as http

from ..daemon import errors as daemon
from ..store import errors as store

LONGEST = 500
_LONGEST_WAIT = 3600
INTERNAL = "internal error in the server; see its log"

_PATH = re.compile(r"(?<![\w.:/~-])(?!/(?:v1|api)/)~?(?:/[\w.@+ -]*[\w.@+-]){2,}")


@dataclass(frozen=True)
class Failure:
    """`code` is a stable word for programs, `param` the field at fault, `message` a sentence that names no path.
    `excess`, of a prompt that is too long: how many tokens it has, and how many it may have."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    excess: tuple[int, int] | None = None


class RequestError(Exception):
    """A request that a handler refuses; `str()` is the sentence for the client."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers = headers or {}


class Incomplete(Exception):
    """A request ended without the end of every choice."""


# The first row that fits decides, so special types stand before general ones.
_TABLE: tuple[tuple[type[BaseException], int, str | None], ...] = (
    (daemon.QueueFull, 503, "queue_full"),
    (daemon.Draining, 503, "shutting_down"),
    (daemon.CancelledByClient, 499, "cancelled_by_client"),
    (daemon.RequestCancelled, 499, "cancelled"),
    (daemon.UnsupportedByModel, 400, "unsupported_model"),
    (daemon.Quarantined, 503, "model_quarantined"),
    (daemon.LoadError, 500, "model_load_failed"),
    (daemon.InsufficientMemory, 503, "insufficient_memory"),
    (daemon.RunnerDied, 500, "model_process_ended"),
    (daemon.WrongKind, 400, "unsupported_model"),
    (daemon.FetchRefused, 400, "invalid_image_url"),
    (daemon.FetchBusy, 503, "too_many_pictures"),
    (daemon.DaemonError, 500, "internal_error"),
    (store.InvalidName, 400, "invalid_model_name"),
    (store.AmbiguousName, 400, "ambiguous_model_name"),
    (store.UnknownModel, 404, "model_not_found"),
    (store.UnsupportedModel, 400, "unsupported_model"),
    (store.RepositoryNotFound, 404, "repository_not_found"),
    (store.AccessDenied, 403, "access_denied"),
    (store.RateLimited, 429, "rate_limited"),
    (store.HubUnreachable, 503, "hub_unreachable"),
    (store.HubError, 502, "hub_error"),
    (store.SourceError, 400, "invalid_source"),
    (store.NoSpace, 507, "no_space"),
    (store.ReadOnlyStore, 403, "read_only"),
    (store.StoreBusy, 503, "store_busy"),
    (store.StoreError, 500, "store_error"),
    (TimeoutError, 504, "timeout"),
    (http.NotFound, 404, "not_found"),
    (http.MethodNotAllowed, 405, "method_not_allowed"),
    (http.PayloadTooLarge, 413, "body_too_large"),
    (http.RequestTimeout, 408, "timeout"),
    (http.RequestCancelled, 499, "cancelled"),
)

_REJECTED = {
    "invalid_request": 400,
    "context_length_exceeded": 400,
    "unsupported": 400,
    "template_error": 400,
    "insufficient_memory": 503,
    "numerical_error": 500,
    "internal_error": 500,
}

# Sanic's router repeats what the client sent; the HTTP layer's own sentences are passed on.
_SENTENCES = {
    404: "there is no such endpoint",
    405: "this endpoint does not support that method",
    499: "request canceled",
    504: "the request took longer than server.request_timeout_seconds allows",
}


def describe(exception: BaseException) -> Failure:
    """The Failure of any exception; an unexpected one is a 500 without details."""
    if isinstance(exception, RequestError):
        return Failure(exception.status, clip(str(exception)), exception.code, exception.param, exception.headers)
    if isinstance(exception, daemon.RequestRejected):
        status = _REJECTED.get(exception.code, 500)
        return Failure(status, sentence(str(exception)), exception.code, exception.param, {}, exception.excess)
    for kind, status, code in _TABLE:
        if isinstance(exception, kind):
            return Failure(
                retried(exception, status), _message(exception, status), code, _param(exception), _headers(exception)
            )
    if isinstance(exception, http.SanicException) and exception.status_code != 500:
        return Failure(exception.status_code, sentence(str(exception)), "bad_request")
    return Failure(500, INTERNAL, "internal_error")


def expected(exception: BaseException) -> bool:
    """Whether this exception is in the table; the others are logged with their traceback."""
    known = (RequestError, daemon.DaemonError, store.StoreError, http.SanicException, http.RequestCancelled)
    return isinstance(exception, (*known, TimeoutError))


def retried(exception: BaseException, status: int) -> int:
    """A failure that says when to try again is a 503; a 429 stays one."""
    return 503 if status != 429 and getattr(exception, "retry_after", None) is not None else status


def sentence(text: str) -> str:
    """Text of another layer without absolute paths, and not endless."""
    return clip(_PATH.sub("…", text))


def clip(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _message(exception: BaseException, status: int) -> str:
    if status in _SENTENCES and not isinstance(exception, (store.StoreError, daemon.DaemonError)):
        return _SENTENCES[status]
    hint = getattr(exception, "hint", None)
    return sentence(store.with_hint(str(exception), hint))


def _param(exception: BaseException) -> str | None:
    names = (store.InvalidName, store.AmbiguousName, store.UnknownModel, store.UnsupportedModel, daemon.WrongKind)
    return "model" if isinstance(exception, names) else None


def _headers(exception: BaseException) -> dict[str, str]:
    after = getattr(exception, "retry_after", None)
    if isinstance(exception, daemon.Draining):
        after = 5
    if after is not None:
        return {"retry-after": str(min(_LONGEST_WAIT, max(1, int(after))))}
    if isinstance(exception, http.MethodNotAllowed):
        allowed = (getattr(exception, "headers", None) or {}).get("Allow", "")
        return {"allow": allowed} if allowed else {}
    return {}
