"""A schema as the alternatives that it leaves: each of one kind, with all that is said of it in one place.

`$ref`, `anyOf`, `oneOf`, `allOf`, lists of types and `const` are gone from them. Knows no notation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..literals import BadGrammar

Alternative = dict[str, Any]
"""`type` is one name, or absent with `enum` and where there may be anything; `pattern` is a list."""

MOST = 64
DEEPEST = 16
KEPT = frozenset(
    {
        *("type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "format", "items", "minItems", "maxItems"),
        *("properties", "required", "additionalProperties"),
    }
)
"""Keywords that notations which are not JSON can keep."""
_SILENT = frozenset(
    {
        *("title", "description", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly"),
        *("$schema", "$id", "$anchor", "$defs", "definitions", "nullable", "strict"),
    }
)
_SPLIT = ("$ref", "anyOf", "oneOf", "allOf")
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def alternatives(schema: Any, root: Mapping[str, Any], *, strict: bool) -> list[Alternative]:
    """Never none. `root` is what references lead into. `strict`: raises BadGrammar for keywords that cannot be kept,
    which else have no effect; in any case where no value, or too many alternatives, are left."""
    found = [kind for each in _flat(schema, root, strict, 0) for kind in _kinds(each)]
    if not found:
        raise BadGrammar("no value fits a parameter's schema")
    if strict:
        for each in found:
            _check(each)
    return found


def _flat(schema: Any, root: Mapping[str, Any], strict: bool, depth: int) -> list[Alternative]:
    if schema is False:
        return []
    if not isinstance(schema, dict):
        return [{}]
    if depth > DEEPEST:
        raise BadGrammar("a parameter's schema refers to itself without an end")
    found = [_own(schema)]
    if isinstance(target := schema.get("$ref"), str):
        found = _both(found, _flat(_target(target, root), root, strict, depth + 1), strict)
    for inner in _listed(schema, "allOf"):
        found = _both(found, _flat(inner, root, strict, depth + 1), strict)
    for key in ("anyOf", "oneOf"):
        if options := _listed(schema, key):
            parts = [_flat(option, root, strict, depth + 1) for option in options]
            if strict and key == "oneOf":
                _check_apart(parts)
            found = _both(found, [each for part in parts for each in part], strict)
    return found


def _listed(schema: Mapping[str, Any], key: str) -> list[Any]:
    value = schema.get(key)
    return value if isinstance(value, list) else []


def _own(schema: Mapping[str, Any]) -> Alternative:
    own = {key: value for key, value in schema.items() if key not in _SILENT and key not in _SPLIT}
    if "const" in own:
        constant = own.pop("const")
        own["enum"] = [each for each in own.get("enum", [constant]) if same(each, constant)]
    if isinstance(own.get("pattern"), str):
        own["pattern"] = [own["pattern"]]
    if "type" not in own and "enum" not in own:
        kind = next((kind for key, kind in (("properties", "object"), ("items", "array")) if key in own), None)
        own |= {"type": kind} if kind else {}
    return own


def _target(target: str, root: Mapping[str, Any]) -> Any:
    """Where a reference within the root schema leads. Raises BadGrammar."""
    found: Any = root if target == "#" or target.startswith("#/") else None
    for part in target[2:].split("/") if target.startswith("#/") else ():
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    if found is None:
        raise BadGrammar(f"the reference {json.dumps(target[:80])} leads nowhere in the tool's schema")
    return found


def _both(first: list[Alternative], second: list[Alternative], strict: bool) -> list[Alternative]:
    """What fits one of each."""
    if len(first) * len(second) > MOST:
        raise BadGrammar(f"a parameter's schema leaves more than {MOST} alternatives")
    return [joined for one in first for other in second if (joined := _joined(one, other, strict)) is not None]


def _joined(one: Alternative, other: Alternative, strict: bool) -> Alternative | None:
    """What fits both; None where the kinds exclude each other."""
    joined = one | other
    for key in one.keys() & other.keys():
        a, b = one[key], other[key]
        match key:
            case "type":
                common = _common(a, b)
                if not common:
                    return None
                joined[key] = common
            case "enum":
                joined[key] = [value for value in a if any(same(value, each) for each in b)]
            case "properties":
                both = {name: {"allOf": [a[name], b[name]]} for name in a.keys() & b.keys()}
                joined[key] = a | b | both
            case "required" | "pattern":
                joined[key] = list(dict.fromkeys([*a, *b]))
            case "items":
                joined[key] = {"allOf": [a, b]}
            case _ if key in _LEAST:
                joined[key] = max(a, b)
            case _ if key in _MOST:
                joined[key] = min(a, b)
            case "multipleOf" if isinstance(a, int) and isinstance(b, int):
                joined[key] = math.lcm(a, b)
            case _ if strict and not same(a, b):
                raise BadGrammar(f"two values of '{key}' for one parameter cannot be kept in this model's notation")
    return joined


def _common(a: Any, b: Any) -> Any:
    first, second = _names(a), _names(b)
    common = [name for name in first if name in second]
    if "integer" not in common and "integer" in {*first, *second} and "number" in {*first} and "integer" in second:
        common.append("integer")
    if "integer" not in common and "integer" in first and "number" in second:
        common.append("integer")
    return common


def _names(kinds: Any) -> list[str]:
    return [str(kind) for kind in kinds] if isinstance(kinds, list) else [str(kinds)]


def _kinds(each: Alternative) -> Iterator[Alternative]:
    """One alternative for each of its kinds; the values of an enumeration by themselves."""
    if "enum" in each:
        wanted = _names(each["type"]) if "type" in each else None
        values = [value for value in each["enum"] if wanted is None or _is_of(value, wanted)]
        if values:
            yield {"enum": values}
        return
    if "type" not in each:
        yield each
        return
    for kind in _names(each["type"]):
        yield each | {"type": kind}


def _is_of(value: Any, kinds: Sequence[str]) -> bool:
    found = kind_of(value)
    return found in kinds or (found == "integer" and "number" in kinds)


def kind_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def same(a: Any, b: Any) -> bool:
    """Whether two values are one in JSON: true is not 1."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def _check(each: Alternative) -> None:
    """Raises BadGrammar for a keyword that would have no effect."""
    if "enum" in each:
        return
    properties, required = each.get("properties") or {}, each.get("required") or []
    for key, value in each.items():
        if key in KEPT or (key == "uniqueItems" and value is False):
            continue
        if key == "minProperties" and isinstance(value, int) and value <= len(required):
            continue
        if key == "maxProperties" and isinstance(value, int) and value >= len(properties) > 0:
            continue
        raise BadGrammar(f"'{key}' cannot be kept in this model's notation of calls")
    if each.get("additionalProperties") is False and any(name not in properties for name in required):
        raise BadGrammar("a member is required that 'additionalProperties' forbids")


def _check_apart(options: Sequence[Sequence[Alternative]]) -> None:
    """Raises BadGrammar where a value could fit two of them."""
    for place, one in enumerate(options):
        for other in options[place + 1 :]:
            pairs = ((a, b) for first in one for second in other for a in _kinds(first) for b in _kinds(second))
            if not all(_apart(a, b) for a, b in pairs):
                raise BadGrammar("'oneOf' with alternatives that one value can fit cannot be kept")


def _apart(one: Alternative, other: Alternative) -> bool:
    """Whether it is certain that no value fits both."""
    if "enum" in one and "enum" in other:
        return not any(same(a, b) for a in one["enum"] for b in other["enum"])
    kinds = [{each["type"]} if "type" in each else {*map(kind_of, each.get("enum", ()))} for each in (one, other)]
    if kinds[0] and kinds[1] and not kinds[0] & kinds[1]:
        return not any("number" in a and "integer" in b for a, b in (kinds, kinds[::-1]))
    shared = {*one.get("required", ())} & {*other.get("required", ())}
    members = [each.get("properties") or {} for each in (one, other)]
    return any(_differ(members[0].get(name), members[1].get(name)) for name in shared)


def _differ(one: Any, other: Any) -> bool:
    """Whether a member tells two objects apart: its values are listed, and none is in both lists."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    lists = [each.get("enum", [each["const"]] if "const" in each else []) for each in (one, other)]
    return all(lists) and not any(same(a, b) for a in lists[0] for b in lists[1])
