"""Holds a daemon's answers against its own OpenAPI document: with schemathesis's checks, and each record of a stream
against its schema. The document is made strict first: an answer with a field that it does not speak of is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import requests
import schemathesis
from jsonschema import Draft202012Validator
from schemathesis.checks import CHECKS, load_all_checks

Document = dict[str, Any]
BOUNDS = {"max_tokens": 2, "max_completion_tokens": 2, "max_output_tokens": 2, "options": {"num_predict": 2}}
load_all_checks()
HELD = [
    CHECKS.get_one(name)
    for name in (
        *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
        *("response_schema_conformance", "negative_data_rejection"),
    )
]


def strict(document: Document) -> Document:
    """The same, whose answers may have no other fields."""
    document = deepcopy(document)
    for name in _of_answers(document):
        schema = document["components"]["schemas"][name]
        if "properties" in schema:
            schema["additionalProperties"] = False
    return document


def _of_answers(document: Document) -> set[str]:
    """The names of the schemas that answers lead to."""
    waiting: list[Any] = [item["responses"] for path in document["paths"].values() for item in _operations(path)]
    waiting.append(document["components"]["responses"])
    found: set[str] = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            name = str(node.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in document["components"]["schemas"] and name not in found:
                found.add(name)
                waiting.append(document["components"]["schemas"][name])
    return found


def _operations(path: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (item for method, item in path.items() if method != "parameters")


class Held:
    """One daemon and its document."""

    def __init__(self, url: str, document: Document) -> None:
        self._url = url
        self._document = strict(document)
        self._session = requests.Session()
        self._session.trust_env = False
        self.schema = schemathesis.openapi.from_dict(self._document)
        self.statuses: dict[int, int] = {}

    def close(self) -> None:
        self._session.close()

    def operations(self) -> dict[str, Any]:
        """By their label, such as `GET /v1/models`."""
        return {one.label: one for one in (result.ok() for result in self.schema.get_all_operations())}

    def good(self, case: Any) -> None:
        """Let the request be about a model that is there, and ask for little."""
        example = self._content(case.operation).get("example", {})
        if not isinstance(case.body, dict) or not example:
            return
        names = {"model", "name", "from", "source", "destination"} & set(example)
        bounds = set(BOUNDS) & ({*case.body} | {*example})
        few = {"n": 2} if case.body.get("n") else {}
        case.body = case.body | few | {name: example[name] for name in names} | {name: BOUNDS[name] for name in bounds}

    def ask(self, case: Any) -> None:
        """Send it and hold the answer against the document. Raises schemathesis's failures and ValidationError."""
        answer = case.call(base_url=self._url, session=self._session, timeout=60)
        self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
        case.validate_response(answer, checks=HELD)
        (kind,) = answer.headers.get("content-type", [""])
        media = kind.partition(";")[0]
        responses = self._document["paths"][case.operation.path][case.method.lower()]["responses"]
        shape = responses.get(str(answer.status_code), {}).get("content", {}).get(media, {}).get("x-item-schema")
        if shape is not None:
            check = Draft202012Validator({"components": self._document["components"]} | shape)
            error = Draft202012Validator({"components": self._document["components"]} | self._error(case))
            for record in _records(answer.content):
                (error if "error" in record and "type" not in record else check).validate(record)

    def _content(self, operation: Any) -> dict[str, Any]:
        item = self._document["paths"][operation.path][operation.method.lower()]
        found: dict[str, Any] = item.get("requestBody", {}).get("content", {}).get("application/json", {})
        return found

    def _error(self, case: Any) -> dict[str, Any]:
        reference = self._document["paths"][case.operation.path][case.method.lower()]["responses"]["400"]["$ref"]
        found = self._document["components"]["responses"][reference.rpartition("/")[2]]
        schema: dict[str, Any] = found["content"]["application/json"]["schema"]
        return schema


def _records(body: bytes) -> Iterator[Any]:
    """The documents of server-sent events, or of lines."""
    for line in body.split(b"\n"):
        text = line.removeprefix(b"data: ").strip()
        if text and not text.startswith((b":", b"event:")) and text != b"[DONE]":
            yield json.loads(text)
