"""docs/compatibility.md: every field of every endpoint, from the bodies and tables that the handlers decode with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from docs.clients import rows

from mlx_serve.handlers import model_options
from mlx_serve.handlers.api_document.operation import Body
from mlx_serve.handlers.api_document.operations import OPERATIONS
from mlx_serve.handlers.guard.check import MANAGEMENT, OPEN
from mlx_serve.handlers.page.browser import PAGES
from mlx_serve.handlers.routes import ROUTES, label

_HEAD = """\
<!-- Written by `make docs` from the request bodies in handlers/; edit the texts there. -->

# Compatibility

mlx-serve serves the HTTP APIs of OpenAI, Anthropic and Ollama, and Jina's reranking, and counts tokens. This page says
for each endpoint what becomes of each field; with types, ranges and answers a running daemon says the same at `/docs`
and, for programs, at `/openapi.json`:

- **Served** fields do what the documentation of their API says.
- **partly**: served as far as the note says. What goes beyond it is a 400, unless the note calls it ignored.
- **ignored**: accepted, without effect.
- **refused**: a request that asks for something with it gets a 400. Empty values are accepted.

A field that we know and cannot honour is a 400 that names it; a field nobody knows is ignored. A value outside of a
field's range is a 400 that names the field, too.
"""


BODIES: Mapping[str, Body] = {
    path: operation.body for path, operation in OPERATIONS.items() if operation.body is not None
}
WITHOUT_JSON = tuple(path for path, operation in OPERATIONS.items() if operation.uploads or operation.bodiless)
"""Endpoints that take a body which is not JSON, or none."""

NEVER = ("/api/me", "/api/status")
"""Endpoints of the same APIs that are not planned."""


_ABOUT_ACCESS = """
The last column holds once an API key is configured. Before that, other machines are refused; with `server.protected`
off they may do without a key what it allows with one, except read `/metrics`.

Errors have the shape of their API: `{"error": {"message", "type", "param", "code"}}` under `/v1`,
`{"type": "error", "error": {"type", "message"}, "request_id"}` under `/v1/messages`, and under `/v1/models` for clients
that send `anthropic-version`, `{"error": "..."}` under `/api`. The status is 400 for a wrong request, 404 for an
unknown model, 503 with `Retry-After` when the queue is full.
"""
_ABOUT_CLIENTS = """
Against real daemons on Linux (x86-64, MLX on the CPU), not on Metal; most of them with a model that says a script.
[clients.md](clients.md) has more of the agents.
"""
_ORDER = ("partly", "ignored", "refused")
_WIDE = 2**31 - 1


def compatibility(committed: str) -> str:
    """The whole document; nothing of the committed one is kept."""
    return "".join([_HEAD, *_endpoints(), *_bodies(), *_options(), *_clients(), *_missing()])


def _endpoints() -> Iterator[str]:
    yield "\n## Endpoints\n\n| endpoint | methods | from other machines |\n| --- | --- | --- |\n"
    for path, methods, _ in ROUTES:
        yield f"| `{label(path)}` | {', '.join(methods)} | {_access(path)} |\n"
    yield _ABOUT_ACCESS


def _access(path: str) -> str:
    if path in OPEN or OPERATIONS[label(path)].open:
        return "yes"
    if path in PAGES:
        return "with a key; browsers get the page without"
    managing = any(path == prefix or path.startswith(prefix + "/") for prefix in MANAGEMENT)
    return "with a key, and `server.remote_management`" if managing else "with a key"


def _bodies() -> Iterator[str]:
    for path, methods, _ in ROUTES:
        if label(path) in BODIES:
            body = BODIES[label(path)]
            yield f"\n## {next(method for method in methods if method != 'HEAD')} {label(path)}\n{body.about}"
            yield from _fields(body)


def _fields(body: Body, prefix: str = "") -> Iterator[str]:
    served = [name for name in _names(body.struct) if name not in body.fields]
    yield f"\nServed: {', '.join(f'`{prefix}{name}`' for name in served)}.\n"
    if body.fields:
        yield "\n| field | | note |\n| --- | --- | --- |\n"
        for name, entry in sorted(body.fields.items(), key=lambda each: _ORDER.index(each[1].treatment)):
            yield f"| `{prefix}{name}` | {entry.treatment} | {entry.note} |\n"
    for holder, inner in body.inner.items():
        yield from _fields(inner, f"{prefix}{holder}.")


def _names(struct: type[msgspec.Struct]) -> list[str]:
    return [each.encode_name for each in msgspec.structs.fields(struct)]


def _options() -> Iterator[str]:
    yield "\n## Ollama's options\n\n`options` of `/api/chat` and `/api/generate`, `parameters` of `/api/create`.\n\n"
    yield "| option | | type | range |\n| --- | --- | --- | --- |\n"
    for name, kind in sorted(model_options.TYPES.items(), key=lambda each: each[0] in model_options.UNUSED):
        treatment = "ignored" if name in model_options.UNUSED else "served"
        yield f"| `{name}` | {treatment} | {kind} | {_range(*model_options.RANGES.get(name, (-_WIDE, _WIDE)))} |\n"


def _range(least: float, most: float) -> str:
    if most < _WIDE:
        return f"{least:g} to {most:g}"
    return f"{least:g} or more" if least > -_WIDE else ""


def _clients() -> Iterator[str]:
    yield (
        "\n## Clients that were run\n" + _ABOUT_CLIENTS + "\n| client | version | what was run |\n| --- | --- | --- |\n"
    )
    for name, version, what in rows():
        yield f"| {name} | {version} | {what} |\n"


def _missing() -> Iterator[str]:
    yield f"\n## Not there\n\nNot planned, and answered with 404: {', '.join(f'`{path}`' for path in NEVER)}.\n"
