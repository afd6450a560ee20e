"""JSON Schema of the types that requests are decoded with and answers are described by, with what the tables of fields
say of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

import msgspec

from ..decode import Fields
from .operation import Body, Operation, Schema

_EMPTY: tuple[tuple[Any, str], ...] = (
    *((None, "null"), (False, "boolean"), (0, "number"), ("", "string"), ([], "array"), ({}, "object")),
)
_SAID = {"partly": "Partly: ", "ignored": "Ignored: ", "refused": "Refused: "}


class Schemas:
    """The schemas of some endpoints, under names that begin with `prefix`."""

    def __init__(self, prefix: str, operations: Iterable[Operation], error: type[msgspec.Struct] | None = None) -> None:
        self._template = f"#/components/schemas/{prefix}.{{name}}"
        self._prefix = prefix
        operations = list(operations)
        bodies = [body for one in operations if one.body is not None for body in _all(one.body)]
        answers = [answer.type for one in operations for answer in one.answers if isinstance(answer.type, type)]
        structs = [each for each in answers if issubclass(each, msgspec.Struct)]
        types = list(dict.fromkeys([*(body.struct for body in bodies), *structs, *([error] if error else [])]))
        references, components = msgspec.json.schema_components(types, ref_template=self._template)
        shared = self._template.format(name="")
        names = [reference["$ref"].removeprefix(shared) for reference in references]
        self._names = dict(zip(types, names, strict=True))
        self._components = {name: _tidied(schema) for name, schema in components.items()}
        self._said: dict[str, Schema] = {}
        plain = deepcopy(self._components)
        for body in bodies:
            schema = _described(plain[self._names[body.struct]], body)
            if self._said.setdefault(self._name(body), schema) != schema:
                raise ValueError(f"{self._name(body)} is described twice; give one of the bodies a name")
            self._components[self._name(body)] = schema
        for name in {self._names[body.struct] for body in bodies} - {self._name(body) for body in bodies}:
            del self._components[name]

    def reference(self, kind: Any) -> Schema:
        """Of an answer's type."""
        name = self._names.get(kind)
        return {"type": "object"} if name is None else {"$ref": self._template.format(name=name)}

    def body(self, body: Body) -> Schema:
        return {"$ref": self._template.format(name=self._name(body))}

    def components(self) -> dict[str, Schema]:
        return {f"{self._prefix}.{name}": schema for name, schema in self._components.items()}

    def _name(self, body: Body) -> str:
        return body.name or self._names[body.struct]


def _all(body: Body) -> Iterable[Body]:
    yield body
    for inner in body.inner.values():
        yield from _all(inner)


def _tidied(schema: Schema) -> Schema:
    """Without the defaults that say only that a field may be left out."""
    properties = schema.get("properties", {})
    for shape in properties.values():
        if shape.get("default", ...) is None:
            del shape["default"]
    if not schema.get("required", True):
        del schema["required"]
    return schema


def _described(schema: Schema, body: Body) -> Schema:
    """A struct's schema with what its body adds."""
    schema = deepcopy(schema)
    if body.name:
        schema["title"] = body.name
    properties: dict[str, Schema] = schema.setdefault("properties", {})
    for name, shape in body.shapes.items():
        properties[name] = deepcopy(shape)
    if body.required:
        schema["required"] = [*schema.get("required", []), *body.required]
        for name in body.required:
            properties[name] = _without_null(properties[name])
    _note(properties, body.fields)
    return schema


def _note(properties: dict[str, Schema], fields: Fields) -> None:
    for name, support in fields.items():
        shape = properties.get(name, {})
        if support.treatment == "refused":
            shape = _nothing(shape)
        said = f"{_SAID[support.treatment]}{support.note}."
        if "$ref" in shape:
            shape = {"allOf": [shape]}
        described = f"{shape['description']} {said}" if "description" in shape else said
        properties[name] = shape | {"description": described, "x-support": support.treatment}


def _nothing(shape: Schema) -> Schema:
    """The values that ask for nothing, of those that the shape has."""
    kinds = set(_kinds(shape))
    return {"enum": [value for value, kind in _EMPTY if not kinds or kind in kinds or kind == "null"]}


def _kinds(shape: Schema) -> Iterable[str]:
    for each in shape.get("anyOf", [shape]):
        kind = "object" if "$ref" in each else each.get("type", ())
        yield from [kind] if isinstance(kind, str) else kind


def _without_null(shape: Schema) -> Schema:
    kept = [each for each in shape.get("anyOf", ()) if each.get("type") != "null"]
    return kept[0] if len(kept) == 1 else shape | ({"anyOf": kept} if kept else {})


def merged(schemas: Mapping[str, Schemas]) -> dict[str, Schema]:
    """The components of all families."""
    return {name: schema for each in schemas.values() for name, schema in each.components().items()}
