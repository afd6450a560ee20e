"""What docs/compatibility.md says of a field is what its endpoint does with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from docs.compatibility import BODIES, NEVER, WITHOUT_JSON
from fakes.serving import MODEL, Serving, daemon

from mlx_serve.handlers.api_document.operation import Body
from mlx_serve.handlers.model_options import TYPES, UNUSED, options
from mlx_serve.handlers.routes import ROUTES, label

HI = {"role": "user", "content": "hi"}
GOOD: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": MODEL, "messages": [HI]},
    "/v1/completions": {"model": MODEL, "prompt": "hi"},
    "/v1/messages": {"model": MODEL, "max_tokens": 9, "messages": [HI]},
    "/v1/messages/count_tokens": {"model": MODEL, "messages": [HI]},
    "/v1/embeddings": {"model": "acme/vectors", "input": "hi"},
    "/api/embed": {"model": "acme/vectors", "input": "hi"},
    "/api/embeddings": {"model": "acme/vectors", "prompt": "hi"},
    "/v1/responses": {"model": MODEL, "input": "hi"},
    "/v1/responses/input_tokens": {"model": MODEL, "input": "hi"},
    "/v1/tokenize": {"model": MODEL, "messages": [HI]},
    "/api/chat": {"model": MODEL, "messages": [HI], "stream": False},
    "/api/generate": {"model": MODEL, "prompt": "hi", "stream": False},
    "/api/show": {"model": MODEL},
    "/api/pull": {"model": "starter", "stream": False},
    "/api/delete": {"model": MODEL},
    "/api/create": {"model": "mine", "from": MODEL, "stream": False},
}
VALUES: dict[str, Any] = {
    "max_tool_calls": 3,
    "background": True,
    "shift": True,
    "verbose": True,
    "insecure": True,
    "stream": True,
}
"""A value that asks for something; those that are not here are taken by their type."""

DECODED = [(path, body) for path, body in BODIES.items()] + [
    (path, inner) for path, body in BODIES.items() for inner in body.inner.values()
]
REFUSED = [
    (path, holder, name)
    for path, body in BODIES.items()
    for holder, each in {"": body, **body.inner}.items()
    for name, entry in each.fields.items()
    if entry.treatment == "refused"
]
IGNORED = [
    (path, name) for path, body in BODIES.items() for name, entry in body.fields.items() if entry.treatment == "ignored"
]


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncGenerator[Serving]:
    async with daemon(tmp_path) as running:
        yield running


async def ask(serving: Serving, path: str, document: dict[str, Any]) -> httpx.Response:
    method = next(
        method for each, methods, _ in ROUTES for method in methods if label(each) == path and method != "HEAD"
    )
    async with httpx.AsyncClient(base_url=serving.url, trust_env=False) as client:
        return await client.request(method, path, json=document)


def value_of(struct: type[msgspec.Struct], name: str) -> Any:
    if name in VALUES:
        return VALUES[name]
    kind = next((each.type for each in msgspec.structs.fields(struct) if each.encode_name == name), str)
    return {"a": "b"} if "dict" in str(kind) or "Raw" in str(kind) else "x"


def test_every_endpoint_with_a_body_is_described() -> None:
    taking = {label(path) for path, methods, _ in ROUTES if {"POST", "DELETE"} & set(methods)}
    assert taking == {*BODIES, *WITHOUT_JSON}


def test_an_endpoint_that_is_there_is_not_called_missing() -> None:
    assert not set(NEVER) & {path for path, _, _ in ROUTES}


@pytest.mark.parametrize(("path", "body"), DECODED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_not_ignored_is_decoded(path: str, body: Body) -> None:
    """A field that no body has cannot be refused, or served in part."""
    known = {each.encode_name for each in msgspec.structs.fields(body.struct)}
    assert {name for name, entry in body.fields.items() if entry.treatment != "ignored"} <= known


@pytest.mark.parametrize(("path", "holder", "name"), REFUSED)
async def test_a_refused_field_is_a_400_that_names_it(serving: Serving, path: str, holder: str, name: str) -> None:
    body = BODIES[path].inner[holder] if holder else BODIES[path]
    value = value_of(body.struct, name)
    document = GOOD[path] | ({"messages": [HI | {name: value}]} if holder else {name: value})
    response = await ask(serving, path, document)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    said = error if isinstance(error, str) else error["message"]
    assert "not support" in said
    if isinstance(error, dict) and "param" in error:
        assert error["param"] == (f"messages[0].{name}" if holder else name)
    else:
        # Anthropic's errors have no such field, and Ollama's own words name what the field is for.
        assert name in said or {"suffix": "insert"}[name] in said
    assert not serving.engine.requests


@pytest.mark.parametrize(("path", "name"), IGNORED)
async def test_an_ignored_field_changes_nothing(serving: Serving, path: str, name: str) -> None:
    """The request succeeds, and asks the engine for the same."""
    value = GOOD[path].get(name, value_of(BODIES[path].struct, name))
    if path != "/api/delete":
        assert (await ask(serving, path, GOOD[path])).status_code == 200
    assert (await ask(serving, path, GOOD[path] | {name: value})).status_code == 200
    assert all(request == serving.engine.requests[0] for request in serving.engine.requests)


@pytest.mark.parametrize("name", TYPES)
def test_an_option_has_an_effect_unless_it_is_called_unused(name: str) -> None:
    values: dict[str, Any] = {"integer": 7, "float32": 0.5, "boolean": True, "array": ["x"]}
    assert (options({name: values[TYPES[name]]}) == options({})) == (name in UNUSED)
