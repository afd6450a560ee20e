"""Values that a schema allows, in notations that are not JSON: Python's literals, and Gemma's objects."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..answer_rules import json_expression
from ..literals import BadGrammar, Literals
from .alternatives import Alternative, alternatives
from .plain_text import text_rules

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_SHAPES = ("minLength", "maxLength", "pattern", "format")


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
    """Collects the rules for the values of one schema. `prefix` begins the names of all of them. `strict`: what a
    notation cannot keep is an error, and not left out. All raise BadGrammar."""

    notation: Notation
    literals: Literals
    root: Mapping[str, Any]
    prefix: str
    strict: bool = False
    rules: list[str] = field(default_factory=list)
    _named: int = 0
    _references: dict[str, str] = field(default_factory=dict)

    def members(self, schema: Mapping[str, Any], separator: str, assign: str, *, bare: bool) -> str:
        """A rule for the members of an object: in the schema's order, those that are not required may be left out."""
        required = list(schema.get("required") or [])
        properties = dict(schema.get("properties") or {})
        properties |= {key: {} for key in required if key not in properties}
        shown = {key: self._key(key, bare=bare, required=key in required) for key in properties}
        properties = {key: inner for key, inner in properties.items() if shown[key] is not None}
        name = self._name()
        between = self.literals.lark(separator)
        self.rules.append(f'{name}_{len(properties)}_first: ""')
        self.rules.append(f'{name}_{len(properties)}_next: ""')
        for place, (key, inner) in reversed(list(enumerate(properties.items()))):
            value = self.value(inner)
            member = f"{self.literals.lark(f'{shown[key]}{assign}')} {value}"
            for state, before in (("first", ""), ("next", f"{between} ")):
                skipped = "" if key in required else f" | {name}_{place + 1}_{state}"
                self.rules.append(f"{name}_{place}_{state}: {before}{member} {name}_{place + 1}_next{skipped}")
        return f"{name}_0_first"

    def _key(self, key: str, *, bare: bool, required: bool) -> str | None:
        """As it is written; None for one that cannot be, and may be left out."""
        if not bare:
            return json.dumps(key, ensure_ascii=False)
        if _WORD.fullmatch(key):
            return key
        if (quote := self.notation.quote) and quote not in key:
            return quote + key + quote
        if required:
            raise BadGrammar(f"this model's notation of calls cannot hold the name {key[:80]!r}")
        return None

    def value(self, schema: Any) -> str:
        """A rule for the values that the schema allows; schemas that refer to themselves have rules that do."""
        target = schema.get("$ref") if isinstance(schema, dict) else None
        if isinstance(target, str) and target in self._references:
            return self._references[target]
        name = self._name()
        if isinstance(target, str) and schema.keys() == {"$ref"}:
            self._references[target] = name
        ways = [self._written_kind(each) for each in alternatives(schema, self.root, strict=self.strict)]
        if not (ways := [way for way in ways if way]):
            raise BadGrammar("a parameter's values cannot be written in this model's notation of calls")
        self.rules.append(f"{name}: {' | '.join(ways)}")
        return name

    def _written_kind(self, each: Alternative) -> str:
        if "enum" in each:
            texts = map(self._written, each["enum"])
            return " | ".join(self.literals.lark(text) for text in texts if text is not None)
        return self._kind(each["type"], each) if "type" in each else self._anything()

    def _kind(self, kind: str, each: Alternative) -> str:
        notation, lark = self.notation, self.literals.lark
        match kind:
            case "string":
                return self._shaped_text(each)
            case "integer" | "number" if each.keys() & {*_BOUNDS}:
                bounds = {key: each[key] for key in _BOUNDS if key in each}
                return self._json({"type": kind} | bounds)
            case "integer":
                return r"/-?(0|[1-9][0-9]{0,15})/"
            case "number":
                return r"/-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,15})?/"
            case "boolean":
                return f"{lark(notation.true)} | {lark(notation.false)}"
            case "array":
                return f"{lark('[')} {self._items(each)} {lark(']')}"
            case "object" if each.get("properties") or each.get("required"):
                inner = self.members(each, notation.separator, notation.assign, bare=notation.bare_keys)
                return f"{lark('{')} {inner} {lark('}')}"
            case "object" if each.get("additionalProperties") is False:
                return lark("{}")
            case "object":
                return self._any_object(each.get("additionalProperties"))
            case "null":
                return lark(notation.null)
        return self._anything()

    def _items(self, each: Alternative) -> str:
        least, most = each.get("minItems", 0), each.get("maxItems")
        if most == 0 or each.get("items") is False:
            return '""'
        item, separator = self.value(each.get("items")), self.literals.lark(self.notation.separator)
        if most == 1:
            return item if least else f"({item})?"
        more = f"({separator} {item}){{{max(least - 1, 0)},{'' if most is None else most - 1}}}"
        return f"{item} {more}" if least else f"({item} {more})?"

    def _json(self, schema: Alternative) -> str:
        """A rule for numbers and texts in quotes, which are as JSON has them."""
        name = self._name()
        self.rules.append(f"{name}: {json_expression(schema, lenient=not self.strict)}")
        return name

    def _shaped_text(self, each: Alternative) -> str:
        shape = {key: each[key] for key in _SHAPES if key in each}
        quote = self.notation.quote
        if not shape or (quote and not shape.keys() - {"format"}):
            return self._text()
        if not quote:
            patterns = [{"pattern": pattern} for pattern in shape.pop("pattern", ())]
            return self._json({"type": "string"} | shape | ({"allOf": patterns} if patterns else {}))
        name = self._name()
        self.rules += text_rules(f"{name}_rest", quote, shape, self.literals)
        self.rules.append(f"{name}: {self.literals.lark(quote)} {name}_rest")
        return name

    def _written(self, value: Any) -> str | None:
        """As the notation has it; None where that cannot be."""
        notation = self.notation
        if isinstance(value, bool):
            return notation.true if value else notation.false
        if value is None:
            return notation.null
        if isinstance(value, str):
            if notation.quote:
                return None if notation.quote in value else notation.quote + value + notation.quote
            return json.dumps(value, ensure_ascii=False)
        if isinstance(value, list):
            items = [self._written(item) for item in value]
            return None if None in items else "[" + notation.separator.join(map(str, items)) + "]"
        if isinstance(value, dict):
            pairs = [
                (self._key(key, bare=notation.bare_keys, required=True), self._written(v)) for key, v in value.items()
            ]
            if any(written is None for _, written in pairs):
                return None
            return "{" + notation.separator.join(f"{key}{notation.assign}{written}" for key, written in pairs) + "}"
        return json.dumps(value)

    def _text(self) -> str:
        """Any text; in quotes with the escapes that JSON and Python share."""
        if not self.notation.quote:
            return r'/"([^"\\\x00-\x1f]|\\["\\nrt])*"/'
        name = f"{self.prefix}_text"
        if not any(rule.startswith(f"{name}:") for rule in self.rules):
            end = text_rules(f"{name}_rest", self.notation.quote, {}, self.literals)
            self.rules += [f"{name}: {self.literals.lark(self.notation.quote)} {name}_rest", *end]
        return name

    def _anything(self) -> str:
        name, lark, notation = f"{self.prefix}_any", self.literals.lark, self.notation
        if not any(rule.startswith(f"{name}:") for rule in self.rules):
            words = " | ".join(map(lark, (notation.true, notation.false, notation.null)))
            self.rules.append(f"{name}: {self._text()} | {self._kind('number', {})} | {words}")
        return name

    def _any_object(self, values: Any) -> str:
        """Of members with any names, whose values fit the schema `values`."""
        lark, notation = self.literals.lark, self.notation
        key = r"/[A-Za-z_][A-Za-z0-9_]{0,63}/" if notation.bare_keys else r'/"[^"\\\x00-\x1f]{1,64}"/'
        member = f"{key} {lark(notation.assign)} {self.value(values) if isinstance(values, dict) else self._anything()}"
        name = self._name()
        self.rules.append(f"{name}: {lark('{')} ({member} ({lark(notation.separator)} {member})*)? {lark('}')}")
        return name

    def _name(self) -> str:
        self._named += 1
        return f"{self.prefix}_v{self._named}"
