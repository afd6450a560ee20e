"""GET / for browsers, and the static files of that page, under a policy that lets nothing else in."""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.resources import files

from sanic import Request
from sanic.response import HTTPResponse

from ..failure import RequestError

PREFIX = "/page/"
_SCRIPT = "text/javascript; charset=utf-8"
MEDIA_TYPES = {
    "page.css": "text/css; charset=utf-8",
    "chat.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(
        (
            *("main.js", "elements.js", "figures.js", "daemon.js", "key.js", "status.js", "panel.js"),
            *("chat.js", "answer.js", "options.js", "pictures.js", "markdown.js"),
        ),
        _SCRIPT,
    ),
}
"""The files under PREFIX by name."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Trusted types: where a browser has them, no text can become HTML, for nobody may make any."""
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


async def front_page() -> HTTPResponse:
    text = await asyncio.to_thread(_read, "index.html")
    return HTTPResponse(text, headers=HEADERS | {"vary": "Accept"}, content_type="text/html; charset=utf-8")


async def page_file(request: Request, file: str) -> HTTPResponse:
    """Raises RequestError: 404 for what is no file of the page."""
    if file not in MEDIA_TYPES:
        raise RequestError("the page has no such file", status=404, code="not_found")
    return HTTPResponse(await asyncio.to_thread(_read, file), headers=HEADERS, content_type=MEDIA_TYPES[file])


@cache
def _read(name: str) -> bytes:
    return (files(__package__) / "assets" / name).read_bytes()
