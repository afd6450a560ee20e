"""How a browser asks for our pages. They hold nothing of anyone; what they then fetch needs a key."""

from __future__ import annotations

from sanic import Request

from .page_files import MEDIA_TYPES, PREFIX

PAGES = ("/", "/docs")


def wants_html(accept: str) -> bool:
    """Whether an Accept header names HTML, and no plain text before it (RFC 9110, 12.5.1). `*/*` names nothing: it is
    what curl and most clients send."""
    return 0 < _quality(accept, "text/html") >= _quality(accept, "text/plain")


def asks_for_page(request: Request) -> bool:
    """Whether this is how a browser asks for a page or for a file of one."""
    if request.method not in ("GET", "HEAD"):
        return False
    if request.path in PAGES:
        return wants_html(accepted(request))
    return request.path.startswith(PREFIX) and request.path.removeprefix(PREFIX) in MEDIA_TYPES


def accepted(request: Request) -> str:
    return ", ".join(request.headers.getall("accept", []))


def _quality(accept: str, media: str) -> float:
    """0 where it is not named."""
    for part in accept.split(","):
        name, *parameters = (text.strip().lower() for text in part.split(";"))
        if name == media:
            weights = [text.removeprefix("q=") for text in parameters if text.startswith("q=")]
            return _number(weights[0]) if weights else 1.0
    return 0.0


def _number(text: str) -> float:
    """A weight; what is none counts as 0."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0
