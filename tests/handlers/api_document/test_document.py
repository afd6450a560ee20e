"""The OpenAPI document is valid, speaks of every route, and says of requests what their types check."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from mlx_serve.handlers import error_bodies
from mlx_serve.handlers.api_document.answers.error_answers import MEANINGS
from mlx_serve.handlers.api_document.document import build
from mlx_serve.handlers.api_document.operation import Body
from mlx_serve.handlers.api_document.operations import OPERATIONS
from mlx_serve.handlers.decode import FieldSupport
from mlx_serve.handlers.failure import RequestError, describe
from mlx_serve.handlers.routes import ROUTES, label

LABELLED = [(label(path), methods) for path, methods, _ in ROUTES]
DOCUMENT = build(LABELLED, "1.2.3")
BODIES = [(path, one.body) for path, one in OPERATIONS.items() if one.body is not None]


def validator(schema: Any) -> Draft202012Validator:
    """Of a schema of the document, whose references lead into it."""
    return Draft202012Validator({"components": DOCUMENT["components"]} | schema)


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)


def found(reference: str) -> Any:
    node: Any = DOCUMENT
    for key in reference.removeprefix("#/").split("/"):
        node = node[key]
    return node


def test_every_route_has_its_row_and_every_row_its_route() -> None:
    """A new endpoint is described before it is there: `handlers/api_document/operations.py` has the table."""
    assert {path for path, _ in LABELLED} == set(OPERATIONS)
    with pytest.raises(KeyError, match="/v1/new"):
        build([*LABELLED, ("/v1/new", ("POST",))], "1")


def test_it_has_every_method_of_every_route() -> None:
    described = {
        (path, method) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"
    }
    assert described == {(path, method.lower()) for path, methods in LABELLED for method in methods}


def test_a_route_that_takes_a_body_says_which() -> None:
    for path, methods in LABELLED:
        for method in set(methods) & {"POST", "DELETE"}:
            operation = DOCUMENT["paths"][path][method.lower()]
            assert ("requestBody" in operation) == (not OPERATIONS[path].bodiless)
            content = operation.get("requestBody", {}).get("content", ())
            if OPERATIONS[path].bodiless:
                continue
            assert set(content) == ({"application/octet-stream"} if OPERATIONS[path].uploads else {"application/json"})


def test_every_reference_leads_somewhere_and_every_schema_is_one_and_is_used() -> None:
    references = {node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node}
    assert all(isinstance(found(reference), dict) for reference in references)
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert f"#/components/schemas/{name}" in references, name


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [node["operationId"] for node in nodes(DOCUMENT["paths"]) if "operationId" in node]
    assert len(names) == len(set(names)) == sum(len(methods) for _, methods in LABELLED)


@pytest.mark.parametrize(("path", "body"), BODIES, ids=[path for path, _ in BODIES])
def test_the_example_is_a_request_that_the_endpoint_decodes(path: str, body: Body) -> None:
    method = next(name for name in ("post", "delete") if name in DOCUMENT["paths"][path])
    content = DOCUMENT["paths"][path][method]["requestBody"]["content"]["application/json"]
    assert content["example"]
    validator(content["schema"]).validate(content["example"])
    msgspec.json.decode(msgspec.json.encode(content["example"]), type=body.struct)


def described(body: Body, schema: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, FieldSupport]]:
    for name, support in body.fields.items():
        yield schema["properties"][name], name, support
    for holder, inner in body.inner.items():
        whole = schema
        for name in holder.split("."):
            (reference,) = {
                node["$ref"] for node in nodes(whole["properties"][name.removesuffix("[]")]) if "$ref" in node
            }
            whole = found(reference)
        yield from described(inner, whole)


@pytest.mark.parametrize(("path", "body"), BODIES, ids=[path for path, _ in BODIES])
def test_it_says_what_becomes_of_each_field(path: str, body: Body) -> None:
    """The tables that docs/compatibility.md is made from; a refused field takes only what asks for nothing."""
    method = next(name for name in ("post", "delete") if name in DOCUMENT["paths"][path])
    reference = DOCUMENT["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    for shape, name, support in described(body, found(reference)):
        assert shape["x-support"] == support.treatment, name
        assert support.note in shape["description"], name
        if support.treatment == "refused":
            assert validator(shape).is_valid(None), name
            assert not any(validator(shape).is_valid(value) for value in ("x", 1, True, ["x"], {"a": "b"})), name


@pytest.mark.parametrize(
    ("field", "value", "good"),
    [
        *(("top_p", 0, False), ("top_p", 0.1, True), ("top_p", 1.1, False), ("temperature", 2.1, False)),
        *(("n", 0, False), ("n", 129, False), ("n", 128, True), ("max_tokens", -1, False), ("top_logprobs", 21, False)),
        *(("stop", ["x"] * 17, False), ("stop", [""], False), ("seed", 2**64, False), ("seed", -1, True)),
        *(("tool_choice", "auto", True), ("tool_choice", "maybe", False), ("model", "", False), ("messages", 5, False)),
        *(("user", object, True), ("something_unknown", 5, True), ("functions", [{"name": "f"}], False)),
    ],
)
def test_ranges_are_those_of_the_endpoint(field: str, value: Any, good: bool) -> None:
    schema = DOCUMENT["components"]["schemas"]["openai.ChatBody"]
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | {field: value}
    assert validator(schema).is_valid(body) == good


def test_each_dialect_has_its_own_errors() -> None:
    """What the one renderer of errors makes of a failure fits the schema that the path's responses name."""
    for path, methods in LABELLED:
        for method in methods:
            responses = DOCUMENT["paths"][path][method.lower()]["responses"]
            for status in MEANINGS:
                if str(status) not in responses or "$ref" not in responses[str(status)]:
                    continue
                asked: Any = SimpleNamespace(path=path, headers={}, id="x")
                body = error_bodies.body(asked, describe(RequestError("no", status=status, param="x", code="y")))
                content = found(responses[str(status)]["$ref"])["content"]["application/json"]
                validator(content["schema"]).validate(body)
                assert not validator(content["schema"]).is_valid({"message": "no"})
