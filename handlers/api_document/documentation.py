"""GET /openapi.json and GET /docs."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files

from sanic import Request
from sanic.response import HTTPResponse

from ..endpoint import serving
from ..jsontext import encode


class Documentation:
    """The document and its page, each made when it is first asked for. `routes` are paths with their methods."""

    def __init__(self, routes: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        self._routes = tuple(routes)
        self._document = b""
        self._page: tuple[bytes, str] | None = None

    def document(self, version: str) -> bytes:
        if not self._document:
            from .document import build  # with the types of all answers: not needed to start

            self._document = encode(build(self._routes, version))
        return self._document

    def page(self) -> tuple[bytes, str]:
        """The page, and the Content-Security-Policy under which nothing but its own style and script runs."""
        if self._page is None:
            folder = files(__package__) / "page"
            html, style, script = ((folder / name).read_text("utf-8") for name in ("page.html", "page.css", "page.js"))
            page = html.replace("/* page.css */", style).replace("/* page.js */", script)
            policy = "; ".join(
                (
                    "default-src 'none'",
                    f"style-src '{_digest(style)}'",
                    f"script-src '{_digest(script)}'",
                    *(
                        "connect-src 'self'",
                        "img-src data:",
                        "base-uri 'none'",
                        "form-action 'none'",
                        "frame-ancestors 'none'",
                    ),
                )
            )
            self._page = (page.encode(), policy)
        return self._page


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _of(request: Request) -> Documentation:
    documentation: Documentation = request.app.ctx.documentation
    return documentation


async def openapi(request: Request) -> HTTPResponse:
    version = serving(request).version
    document = await asyncio.to_thread(_of(request).document, version)
    return HTTPResponse(document, content_type="application/json; charset=utf-8")


async def docs(request: Request) -> HTTPResponse:
    page, policy = await asyncio.to_thread(_of(request).page)
    headers = {"content-security-policy": policy, "referrer-policy": "no-referrer"}
    return HTTPResponse(page, headers=headers, content_type="text/html; charset=utf-8")
