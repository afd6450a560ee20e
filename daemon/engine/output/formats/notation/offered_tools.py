"""The tools that a request offers: their names, and the types that their schemas give to arguments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .json_values import scalar
from .loose_json import loads

_DEPTH = 16
_NESTED = ("anyOf", "oneOf", "allOf")
_BOOLEANS = {"true": True, "false": False}


class OfferedTools:
    """Tools as OpenAI's requests describe them. `bound`: a grammar lets the model write nothing but calls that fit, in
    which a number may still be larger than any that JSON's readers can hold: then the largest is meant."""

    def __init__(self, tools: Iterable[Mapping[str, Any]], *, bound: bool = False) -> None:
        self.bound = bound
        self._parameters: dict[str, dict[str, Any]] = {}
        for tool in tools:
            function = tool.get("function", tool)
            if isinstance(function, Mapping) and isinstance(name := function.get("name"), str):
                parameters = function.get("parameters")
                self._parameters[name] = parameters if isinstance(parameters, dict) else {}

    def name(self, said: Any) -> str | None:
        """The offered tool that the model means, None where there is none of that name."""
        if not isinstance(said, str):
            return None
        name = said.strip()
        if name in self._parameters:
            return name
        bare = name.removeprefix("functions.")
        return bare if bare in self._parameters else None

    def typed(self, name: str, key: str, value: Any) -> Any:
        """A value of JSON as the schema wants it: a number in a string becomes one, where only a number is allowed."""
        return _typed(value, *self._schema(name, key))

    def read(self, name: str, key: str, text: str, *, value: bool = False) -> Any:
        """The value of an argument that was written without JSON's quotes. `value`: the model says that it is no
        text."""
        schema, root = self._schema(name, key)
        types = types_of(schema, root)
        if "string" in types and not value:
            if text.strip() in ("null", "None") and "null" in types:
                return None
            only = texts_of(schema, root)
            return text if only is None or text in only else self._other(text, types, only)
        return self._value(text, types, schema, root)

    def is_whole(self, name: str, key: str, text: str, *, value: bool = False) -> bool:
        """Whether a value that was written without JSON's quotes may end with this text: where a grammar makes it JSON,
        a marker in one of its own texts does not end it."""
        if not self.bound or text.lstrip()[:1] not in ("{", "[", '"'):
            return True
        schema, root = self._schema(name, key)
        types = types_of(schema, root)
        if not value and (not types or "string" in types) and texts_of(schema, root) is None:
            return True
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return text in (texts_of(schema, root) or ())
        return True

    def _other(self, text: str, types: frozenset[str], only: frozenset[str]) -> Any:
        """What is none of the only texts that there may be: another value, or one of them in quotes."""
        try:
            value = loads(text, largest=self.bound)
        except ValueError:
            return text
        kind = _type(value)
        fits = value in only if isinstance(value, str) else kind in types or (kind == "integer" and "number" in types)
        return value if fits else text

    def _value(self, text: str, types: frozenset[str], schema: Any, root: dict[str, Any]) -> Any:
        try:
            value = loads(text, largest=self.bound)
        except ValueError:
            return _typed(text, schema, root)
        if isinstance(value, str) and not types:
            return text  # its quotes are part of it
        return _typed(value, schema, root)

    def _schema(self, name: str, key: str) -> tuple[Any, dict[str, Any]]:
        root = self._parameters.get(name, {})
        properties = _resolved(root, root).get("properties")
        schema = properties.get(key) if isinstance(properties, dict) else None
        return (root.get("additionalProperties") if schema is None else schema), root


def _resolved(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    """Behind its `$ref`s, which point into the root schema."""
    for _ in range(_DEPTH):
        if not isinstance(schema, dict):
            return {}
        path = schema.get("$ref")
        if not isinstance(path, str) or not path.startswith("#/"):
            return schema
        found: Any = root
        for part in path[2:].split("/"):
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        schema = found
    return {}


def types_of(schema: Any, root: dict[str, Any], depth: int = 0) -> frozenset[str]:
    """The names of the JSON types that a schema allows; none where it says nothing about them."""
    schema = _resolved(schema, root)
    kinds = schema.get("type")
    found = {kinds} if isinstance(kinds, str) else {str(kind) for kind in kinds} if isinstance(kinds, list) else set()
    values = schema.get("enum") if isinstance(schema.get("enum"), list) else []
    if "const" in schema:
        values = [*values, schema["const"]] if isinstance(values, list) else [schema["const"]]
    if not found and values:
        found = {_type(value) for value in values}
    if not found and depth < _DEPTH:
        for key in _NESTED:
            options = schema.get(key)
            for option in options if isinstance(options, list) else []:
                kinds_of_option = types_of(option, root, depth + 1)
                if not kinds_of_option and key != "allOf":
                    return frozenset()  # one of them is anything
                found |= kinds_of_option
    if schema.get("nullable") is True and found:
        found.add("null")
    return frozenset(found)


def texts_of(schema: Any, root: dict[str, Any], depth: int = 0) -> frozenset[str] | None:
    """The only texts that a schema allows; None where there may be others."""
    schema = _resolved(schema, root)
    listed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(listed, list):
        return frozenset(value for value in listed if isinstance(value, str))
    kinds = schema.get("type")
    if isinstance(kinds, str | list) and "string" not in ([kinds] if isinstance(kinds, str) else kinds):
        return frozenset()
    options = [option for key in _NESTED for option in schema.get(key) or [] if isinstance(schema.get(key), list)]
    if not options or depth >= _DEPTH:
        return None
    found: set[str] = set()
    for option in options:
        only = texts_of(option, root, depth + 1)
        if only is None:
            return None
        found |= only
    return frozenset(found)


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _typed(value: Any, schema: Any, root: dict[str, Any], depth: int = 0) -> Any:
    types = types_of(schema, root)
    if depth > _DEPTH:
        return value
    if isinstance(value, dict | list):
        return _inside(value, schema, root, depth)
    kind = _type(value)
    if not types or kind in types or (kind == "integer" and "number" in types):
        return value
    if isinstance(value, str):
        return _from_text(value, types, schema, root, depth)
    if isinstance(value, float) and value.is_integer() and "integer" in types:
        return int(value)
    if types == {"string"} and value is not None:
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value


def _from_text(text: str, types: frozenset[str], schema: Any, root: dict[str, Any], depth: int) -> Any:
    """Of a type that is no string; the text itself where it is no such value."""
    bare = text.strip()
    if "boolean" in types and bare.lower() in _BOOLEANS:
        return _BOOLEANS[bare.lower()]
    if "null" in types and bare in ("null", "None"):
        return None
    if types & {"integer", "number"}:
        try:
            number = scalar(bare)
        except ValueError:
            number = None
        if isinstance(number, int | float) and not isinstance(number, bool):
            if isinstance(number, float) and "number" not in types:
                return int(number) if number.is_integer() else text
            return number
    if types & {"array", "object"} and bare[:1] in ("{", "["):
        try:
            value = loads(bare)
        except ValueError:
            return text
        return _inside(value, schema, root, depth) if _type(value) in types else text
    return text


def _inside(value: Any, schema: Any, root: dict[str, Any], depth: int) -> Any:
    resolved = _resolved(schema, root)
    if isinstance(value, list):
        items = resolved.get("items")
        return [_typed(item, items, root, depth + 1) for item in value] if isinstance(items, dict) else value
    if isinstance(value, dict):
        properties = resolved.get("properties")
        if isinstance(properties, dict):
            return {
                key: _typed(item, properties[key], root, depth + 1) if key in properties else item
                for key, item in value.items()
            }
    return value
