"""Values that a schema allows, in notations that are not JSON: Python's literals, and Gemma's objects.

What a schema says of kinds, members, items and choices is kept; of numbers and texts only that they are such.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .literals import Literals

DEEPEST = 12
"""Schemas that go deeper, as those that refer to themselves do, may have any value there."""


@dataclass(frozen=True)
class Notation:
    """How values are written: `quote` "" for texts as JSON has them, else the marker around each. `names`: whether keys
    are written without quotes at the top, and further down."""

    true: str
    false: str
    null: str
    separator: str
    assign: str
    quote: str = ""
    bare_keys: bool = False


PYTHON = Notation("True", "False", "None", ", ", ": ")


def gemma(quote: str) -> Notation:
    return Notation("true", "false", "null", ",", ":", quote=quote, bare_keys=True)


@dataclass
class ValueRules:
    """Collects the rules for the values of one schema. `prefix` begins the names of all of them."""

    notation: Notation
    literals: Literals
    root: Mapping[str, Any]
    prefix: str
    rules: list[str] = field(default_factory=list)
    _named: int = 0

    def members(self, schema: Mapping[str, Any], separator: str, assign: str, *, bare: bool, depth: int = 0) -> str:
        """A rule for the members of an object: in the schema's order, those that are not required may be left out."""
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = schema.get("required") or []
        name = self._name()
        between = self.literals.lark(separator)
        self.rules.append(f'{name}_{len(properties)}_first: ""')
        self.rules.append(f'{name}_{len(properties)}_next: ""')
        for place, (key, inner) in reversed(list(enumerate(properties.items()))):
            value = self.value(inner, depth + 1)
            shown = key if bare else json.dumps(key, ensure_ascii=False)
            member = f"{self.literals.lark(shown + assign)} {value}"
            for state, before in (("first", ""), ("next", f"{between} ")):
                skipped = "" if key in required else f" | {name}_{place + 1}_{state}"
                self.rules.append(f"{name}_{place}_{state}: {before}{member} {name}_{place + 1}_next{skipped}")
        return f"{name}_0_first"

    def value(self, schema: Any, depth: int = 0) -> str:
        """A rule for the values that the schema allows."""
        name = self._name()
        self.rules.append(f"{name}: {' | '.join(self._alternatives(schema, depth))}")
        return name

    def _alternatives(self, schema: Any, depth: int) -> Iterator[str]:
        schema = self._resolved(schema)
        if not isinstance(schema, dict) or depth > DEEPEST:
            yield self._anything()
            return
        if values := schema.get("enum", [schema["const"]] if "const" in schema else None):
            yield from (self._constant(value) for value in values)
            return
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            yield from (self.value(choice, depth + 1) for choice in choices)
            return
        kinds = schema.get("type")
        if kinds is None:
            kinds = "object" if "properties" in schema else "array" if "items" in schema else None
        if kinds is None:
            yield self._anything()
            return
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            yield self._kind(str(kind), schema, depth)

    def _kind(self, kind: str, schema: Mapping[str, Any], depth: int) -> str:
        notation, lark = self.notation, self.literals.lark
        match kind:
            case "string":
                return self._text()
            case "integer":
                return r"/-?(0|[1-9][0-9]{0,15})/"
            case "number":
                return r"/-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,15})?/"
            case "boolean":
                return f"{lark(notation.true)} | {lark(notation.false)}"
            case "array":
                item = self.value(schema.get("items"), depth + 1)
                return f"{lark('[')} ({item} ({lark(notation.separator)} {item})*)? {lark(']')}"
            case "object" if schema.get("properties"):
                inner = self.members(schema, notation.separator, notation.assign, bare=notation.bare_keys, depth=depth)
                return f"{lark('{')} {inner} {lark('}')}"
            case "object":
                return self._any_object()
            case "null":
                return lark(notation.null)
        return self._anything()

    def _constant(self, value: Any) -> str:
        """A value as the notation writes it."""
        return self.literals.lark(self._written(value))

    def _written(self, value: Any) -> str:
        notation = self.notation
        if isinstance(value, bool):
            return notation.true if value else notation.false
        if value is None:
            return notation.null
        if isinstance(value, str):
            return notation.quote + value + notation.quote if notation.quote else json.dumps(value, ensure_ascii=False)
        if isinstance(value, list):
            return "[" + notation.separator.join(map(self._written, value)) + "]"
        if isinstance(value, dict):
            shown = (key if notation.bare_keys else json.dumps(key, ensure_ascii=False) for key in value)
            pairs = zip(shown, value.values(), strict=True)
            return "{" + notation.separator.join(k + notation.assign + self._written(v) for k, v in pairs) + "}"
        return json.dumps(value)

    def _text(self) -> str:
        """Any text; in quotes with the escapes that JSON and Python share."""
        if not self.notation.quote:
            return r'/"([^"\\\x00-\x1f]|\\["\\nrt])*"/'
        name = f"{self.prefix}_text"
        if not any(rule.startswith(f"{name}:") for rule in self.rules):
            end = self.literals.up_to(f"{name}_rest", self.notation.quote)
            self.rules += [f"{name}: {self.literals.lark(self.notation.quote)} {name}_rest", *end]
        return name

    def _anything(self) -> str:
        name, lark, notation = f"{self.prefix}_any", self.literals.lark, self.notation
        if not any(rule.startswith(f"{name}:") for rule in self.rules):
            words = " | ".join(map(lark, (notation.true, notation.false, notation.null)))
            self.rules.append(f"{name}: {self._text()} | {self._kind('number', {}, 0)} | {words}")
        return name

    def _any_object(self) -> str:
        name, lark, notation = f"{self.prefix}_object", self.literals.lark, self.notation
        if not any(rule.startswith(f"{name}:") for rule in self.rules):
            key = r"/[A-Za-z_][A-Za-z0-9_]{0,63}/" if notation.bare_keys else r'/"[^"\\\x00-\x1f]{1,64}"/'
            member = f"{key} {lark(notation.assign)} {self._anything()}"
            self.rules.append(f"{name}: {lark('{')} ({member} ({lark(notation.separator)} {member})*)? {lark('}')}")
        return name

    def _resolved(self, schema: Any) -> Any:
        """Where a reference within the tool's schema leads."""
        for _ in range(DEEPEST):
            target = schema.get("$ref") if isinstance(schema, dict) else None
            if not isinstance(target, str) or not target.startswith("#/"):
                return schema
            schema = self.root
            for part in target[2:].split("/"):
                schema = schema.get(part) if isinstance(schema, Mapping) else None
        return None

    def _name(self) -> str:
        self._named += 1
        return f"{self.prefix}_v{self._named}"
