"""Who may call what on the TCP port: Host, Origin, protected mode, API keys, management.

It runs before a body is read and before a route is looked at, so a new endpoint cannot forget it.
"""

from __future__ import annotations

from sanic import Request
from sanic.response import BaseHTTPResponse, HTTPResponse

from ...daemon.settings.schema import ServerSettings
from .. import error_bodies as errors
from ..endpoint import serving
from ..failure import Failure
from ..page.browser import asks_for_page
from .hosts import host_allowed, is_loopback, is_proxied, origin_allowed, same_origin
from .keys import Keys, presented
from .throttle import Throttle

MANAGEMENT = ("/api/pull", "/api/create", "/api/copy", "/api/delete", "/api/push", "/api/blobs")
OPEN = ("/healthz",)
PROTECTED = (
    "other machines need an API key (protected mode): set server.api_keys (MLX_SERVE_SERVER_API_KEYS) and send one of "
    "the keys, or set server.protected to false"
)
WRONG_KEY = "invalid_api_key"
NEEDS_KEY = "a valid API key is required: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
UNMANAGED = "other machines may not manage models; set server.remote_management to true to allow it"
METRICS = "other machines need an API key to read metrics; set server.api_keys"
HOST = "the Host header names another server; add the name to server.allowed_hosts to allow it"
ORIGIN = "web pages of this origin may not use this server; add the origin to server.cors_origins to allow it"

_ALLOWED_HEADERS = (
    "Authorization, Content-Type, User-Agent, Accept, X-Requested-With, X-API-Key, X-Request-ID, OpenAI-Beta, "
    "OpenAI-Organization, OpenAI-Project, anthropic-version, anthropic-beta, "
    "anthropic-dangerous-direct-browser-access, x-stainless-arch, x-stainless-async, "
    "x-stainless-custom-poll-interval, x-stainless-helper-method, x-stainless-lang, x-stainless-os, "
    "x-stainless-package-version, x-stainless-poll-helper, x-stainless-retry-count, x-stainless-runtime, "
    "x-stainless-runtime-version, x-stainless-timeout"
)
_EXPOSED_HEADERS = "retry-after, x-request-id, request-id, x-mlx-serve-notice"


async def check(request: Request) -> HTTPResponse | None:
    """A refusal, the answer to a preflight, or None: the request may go on. Only a wrong key is delayed."""
    server = serving(request).settings.server
    failure = _host(request, server) or _origin(request, server)
    if failure is not None:
        return errors.respond(request, failure)
    if request.method == "OPTIONS":
        return _preflight(request)
    failure = _caller(request, server)
    if failure is None:
        return None
    if failure.code == WRONG_KEY and presented(request):
        throttle: Throttle = request.app.ctx.throttle
        await throttle.failed(request.conn_info.client_ip if request.conn_info else "")
    return errors.respond(request, failure)


def _host(request: Request, server: ServerSettings) -> Failure | None:
    hosts = request.headers.getall("host", [])
    if len(hosts) != 1 or not hosts[0]:
        return Failure(400, "a request needs exactly one Host header", "invalid_host")
    sockname = request.conn_info.sockname if request.conn_info else None
    local = str(sockname[0]) if isinstance(sockname, tuple) else ""
    if not host_allowed(hosts[0].strip(), server.host, local, server.allowed_hosts):
        return Failure(403, HOST, "host_not_allowed")
    return None


def _origin(request: Request, server: ServerSettings) -> Failure | None:
    origins = request.headers.getall("origin", [])
    if len(origins) == 1 and same_origin(origins[0], request.headers["host"]):
        return None  # a page of ours, for the Host is one of ours
    if origins:
        if len(origins) == 1 and origin_allowed(origins[0], server.cors_origins):
            request.ctx.origin = origins[0]
            return None
        return Failure(403, ORIGIN, "origin_not_allowed")
    # An image or a form of a foreign page has no Origin, but browsers say where it comes from.
    foreign = request.headers.get("sec-fetch-site") == "cross-site"
    followed = request.headers.get("sec-fetch-mode") == "navigate" and request.method in ("GET", "HEAD")
    if foreign and not followed and "*" not in server.cors_origins:
        return Failure(403, ORIGIN, "origin_not_allowed")
    return None


def _caller(request: Request, server: ServerSettings) -> Failure | None:
    path = request.path.rstrip("/") or "/"
    near, always = _is_near(request), server.require_keys == "always"
    if near and not always:
        return None
    keys = _keys(request, server)
    if not keys and server.protected and not near:
        return Failure(403, PROTECTED, "protected_mode")
    if path in OPEN or asks_for_page(request):
        return None
    if (keys or always) and not keys.accept(presented(request)):
        return Failure(401, NEEDS_KEY, WRONG_KEY, None, {"www-authenticate": "Bearer"})
    if near:
        return None
    if path == "/metrics" and not keys:
        return Failure(403, METRICS, "forbidden")
    managing = any(path == prefix or path.startswith(prefix + "/") for prefix in MANAGEMENT)
    if managing and not server.remote_management:
        return Failure(403, UNMANAGED, "remote_management_off")
    return None


def _is_near(request: Request) -> bool:
    """Whether the caller is on this machine, and not only the proxy in front of it."""
    if request.conn_info is None or not is_loopback(request.conn_info.client_ip):
        return False
    return not is_proxied(request.headers)


def _keys(request: Request, server: ServerSettings) -> Keys:
    """Digested once per set of settings."""
    cached: tuple[ServerSettings, Keys] | None = getattr(request.app.ctx, "keys", None)
    if cached is None or cached[0] is not server:
        cached = request.app.ctx.keys = (server, Keys(server.api_keys))
    return cached[1]


def _preflight(request: Request) -> HTTPResponse:
    headers = {"allow": "GET, HEAD, POST, DELETE, OPTIONS"}
    if request.headers.get("access-control-request-method"):
        headers |= {
            "access-control-allow-methods": "GET, HEAD, POST, DELETE, OPTIONS",
            "access-control-allow-headers": _ALLOWED_HEADERS,
            "access-control-max-age": "600",
        }
        if request.headers.get("access-control-request-private-network") == "true":
            headers["access-control-allow-private-network"] = "true"
    return HTTPResponse(status=204, headers=headers)


def allow_origin(request: Request, response: BaseHTTPResponse) -> None:
    """Tell the browser that the page may read the answer, errors included."""
    also = response.headers.get("vary")
    response.headers["vary"] = f"{also}, Origin" if also else "Origin"
    origin = getattr(request.ctx, "origin", None)
    if origin is not None:
        response.headers["access-control-allow-origin"] = origin
        response.headers["access-control-expose-headers"] = _EXPOSED_HEADERS
