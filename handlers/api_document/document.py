"""The OpenAPI 3.1 document of all public endpoints (https://spec.openapis.org/oas/v3.1.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..error_bodies import dialect
from .answers.error_answers import HEADERS, MEANINGS, TYPES
from .operation import BYTES, JSON, NDJSON, OF_A_BODY, OF_EVERY_REQUEST, SSE, Answer, Body, Operation, Query, Schema
from .operations import OPERATIONS
from .schemas import Schemas, merged

_ABOUT = """\
A daemon that serves MLX models from your own machine, over the HTTP of OpenAI, Anthropic and Ollama.

A field that is known and cannot be honoured is a 400 that names it; a field that nobody knows is ignored. In the
schemas, `x-support` says which fields are `partly` served, `ignored` or `refused`; those without it are served as the
documentation of their API says. Media types of streams have the schema of one record as `x-item-schema`.
"""
_TAGS = {
    "OpenAI": "As OpenAI's API reference describes them.",
    "Anthropic": "As Anthropic's API reference describes them.",
    "Ollama": "As Ollama's API reference describes them.",
    "Jina": "Reranking, as Jina's API reference describes it.",
    "Tokens": "Counting of tokens, without loading a model's weights.",
    "Operation": "For operators, probes and readers.",
}
_KEYS = (
    "Needed once `server.api_keys` is set: by other machines, and with `server.require_keys: always` by this one too."
)
_RECORDS = {
    SSE: "Server-sent events, the `data` of each a JSON document of `x-item-schema`.",
    NDJSON: "A JSON document of `x-item-schema` on each line.",
}
_HEADERS: dict[str, Schema] = {
    "X-Request-Id": {"description": "Names the request in the log.", "schema": {"type": "string"}},
    "X-Mlx-Serve-Notice": {
        "description": "What was changed in the request, such as a limit of tokens that the context does not have.",
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "When to try again, in seconds.", "schema": {"type": "integer", "minimum": 1}},
}


def build(routes: Iterable[tuple[str, tuple[str, ...]]], version: str) -> dict[str, Any]:
    """`routes`: paths such as `/v1/models/{id}` with their methods. Raises KeyError for one that has no row in
    OPERATIONS."""
    routes = list(routes)
    groups: dict[str, list[Operation]] = {}
    for path, _ in routes:
        groups.setdefault(OPERATIONS[path].prefix, []).append(OPERATIONS[path])
    families = {OPERATIONS[path].family for path, _ in routes}
    schemas = {prefix: Schemas(prefix, operations, TYPES.get(prefix)) for prefix, operations in groups.items()}
    errors = {dialect(path): TYPES[dialect(path)] for path, _ in routes}
    return {
        "openapi": "3.1.1",
        "info": {"title": "mlx-serve", "version": version, "description": _ABOUT, "license": _LICENSE},
        "servers": [{"url": "/", "description": "This daemon."}],
        "security": [{}, {"bearer": []}, {"key": []}],
        "tags": [{"name": name, "description": about} for name, about in _TAGS.items() if name in families],
        "paths": {path: _path(path, methods, schemas[OPERATIONS[path].prefix]) for path, methods in routes},
        "components": {
            "schemas": merged(schemas),
            "responses": _errors({name: schemas[name].reference(kind) for name, kind in errors.items()}),
            "headers": _HEADERS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": _KEYS},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": _KEYS},
            },
        },
    }


_LICENSE = {"name": "MIT", "identifier": "MIT"}


def _path(path: str, methods: tuple[str, ...], schemas: Schemas) -> dict[str, Any]:
    operation = OPERATIONS[path]
    item: dict[str, Any] = {}
    if parameters := [*operation.parameters, *operation.queries]:
        item["parameters"] = [
            {
                "name": one.name,
                "in": "query" if isinstance(one, Query) else "path",
                "required": not isinstance(one, Query),
                "description": one.about,
                "schema": one.schema,
            }
            for one in parameters
        ]
    for method in methods:
        item[method.lower()] = _operation(path, method, operation, schemas)
    return item


def _operation(path: str, method: str, operation: Operation, schemas: Schemas) -> dict[str, Any]:
    words = [word.strip("{}").replace(".", "_") for word in path.split("/") if word]
    about = operation.about or (operation.body.about.strip() if operation.body else "")
    document: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *words] if words else [method.lower(), "root"]),
        "tags": [operation.family],
        "summary": operation.summary,
    }
    if about:
        document["description"] = about
    if operation.open:
        document["security"] = []
    takes_body = method not in ("GET", "HEAD")
    if takes_body and operation.body is not None:
        document["requestBody"] = _request(operation.body, schemas)
    elif takes_body and operation.uploads:
        document["requestBody"] = {"required": True, "content": {BYTES: {}}}
    document["responses"] = _responses(path, method, operation, schemas)
    return document


def _request(body: Body, schemas: Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schemas.body(body)}
    if body.example:
        content["example"] = dict(body.example)
    return {"required": True, "content": {JSON: content}}


def _responses(path: str, method: str, operation: Operation, schemas: Schemas) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for answer in operation.answers:
        if answer.methods and method not in answer.methods:
            continue
        response = responses.setdefault(
            str(answer.status), {"description": answer.about, "headers": _headers(operation)}
        )
        if method == "HEAD":
            continue
        if response["description"] != answer.about:
            response["description"] += f" {answer.about}"
        if answer.type is not None or answer.media != JSON:
            response.setdefault("content", {})[answer.media] = _content(answer, schemas)
    statuses = {*OF_EVERY_REQUEST, *operation.errors}
    if method not in ("GET", "HEAD") and not operation.bodiless:
        statuses |= set(OF_A_BODY)
    kind = dialect(path)
    for status in sorted(statuses):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{kind}.{status}"})
    return responses


def _content(answer: Answer, schemas: Schemas) -> dict[str, Any]:
    if answer.type is None:
        return {"schema": {"type": "string"}}
    if answer.media != JSON:
        return {"schema": {"description": _RECORDS[answer.media]}, "x-item-schema": schemas.reference(answer.type)}
    return {"schema": schemas.reference(answer.type)}


def _headers(operation: Operation) -> dict[str, Schema]:
    names = ["X-Request-Id", *(["X-Mlx-Serve-Notice"] if operation.notice else [])]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _errors(shapes: Mapping[str, Schema]) -> dict[str, Any]:
    """The responses of all statuses, by the dialect whose `shapes` are given."""
    responses: dict[str, Any] = {}
    for name, shape in shapes.items():
        for status, meaning in MEANINGS.items():
            headers = ("X-Request-Id", *HEADERS.get(status, ()))
            responses[f"{name}.{status}"] = {
                "description": meaning,
                "headers": {header: {"$ref": f"#/components/headers/{header}"} for header in headers},
                "content": {JSON: {"schema": shape}},
            }
    return responses
