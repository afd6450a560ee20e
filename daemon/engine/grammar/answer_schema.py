"""A client's JSON schema as the grammar compiler gets it: the same answers are valid, or some of them.

JSON Schema lets an object have members that no one has described. A model that may add such members often does not
stop, so objects with `properties` are closed where that cannot make a schema that has answers one that has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

WHITE_SPACE = r"( |\r?\n( {0,64}|\t{0,16}))"
"""Between two parts of JSON there is nothing, a space, or a line end and an indentation: never white space without
end."""
OPTIONS = "x-guidance"
"""The key by which llguidance takes options from a schema."""
FORMATS = frozenset(
    {
        *("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"),
    }
)
"""The formats of texts that llguidance enforces. JSON Schema has a format that nobody knows mean nothing."""
ANY_OBJECT: dict[str, Any] = {"type": "object"}

_SINGLE = ("items", "additionalProperties", "additionalItems", "contains", "not", "if", "then", "else", "propertyNames")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_JOINED = ("$ref", "$dynamicRef", "anyOf", "oneOf", "allOf", "not", "if", "dependentSchemas")
_OPEN = ("additionalProperties", "patternProperties", "unevaluatedProperties", "minProperties", *_JOINED)


def compiled_schema(schema: dict[str, Any], *, lenient: bool = False) -> dict[str, Any]:
    """The schema with closed objects, without formats that nobody enforces, and with our white space. A copy.
    `lenient`: keywords that the compiler does not know have no effect."""
    schema = _copied(schema)
    nodes = list(_nodes(schema))
    closes = not any("allOf" in node or _is_joined(node) for node in nodes)
    for node in nodes:
        if isinstance(node.get("format"), str) and node["format"] not in FORMATS:
            del node["format"]
        for key in _COUNTS:
            if isinstance(count := node.get(key), float) and count.is_integer():
                node[key] = int(count)
        if node.get("uniqueItems") is False:
            del node["uniqueItems"]
        if node.get("type") == "number" and type(node.get("multipleOf")) is int:
            node["type"] = "integer"  # the same numbers; llguidance fails at a special token behind such a "0"
        if closes and _may_close(node):
            node["additionalProperties"] = False
    schema[OPTIONS] = {"whitespace_flexible": True, "whitespace_pattern": WHITE_SPACE, "lenient": lenient}
    return schema


def patterns(schema: dict[str, Any]) -> Iterator[str]:
    """The regular expressions in a schema."""
    for node in _nodes(schema):
        if isinstance(pattern := node.get("pattern"), str):
            yield pattern
        if isinstance(named := node.get("patternProperties"), dict):
            yield from named


def _is_joined(node: dict[str, Any]) -> bool:
    """Whether what describes an object stands in several places, each of which knows some of the members."""
    return "properties" in node and any(key in node for key in _JOINED)


def _may_close(node: dict[str, Any]) -> bool:
    properties, required = node.get("properties"), node.get("required", [])
    if not isinstance(properties, dict) or not properties or any(key in node for key in _OPEN):
        return False
    return isinstance(required, list) and all(isinstance(name, str) and name in properties for name in required)


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema in a schema; what stands in `enum`, `const` or `default` is none."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, dict):
            continue
        yield node
        waiting.extend(node[key] for key in _SINGLE if isinstance(node.get(key), dict))
        for key in _LISTS:
            if isinstance(inner := node.get(key), list):
                waiting.extend(inner)
        for key in _MAPS:
            if isinstance(inner := node.get(key), dict):
                waiting.extend(inner.values())


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value
