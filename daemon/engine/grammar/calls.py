"""Calls of offered tools as rules of a grammar: the names, the family's shape, and arguments that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .answer_rules import json_expression
from .call_shape import CallShape
from .literals import Literals
from .value_rules import PYTHON, ValueRules, gemma

ANY_ARGUMENTS: Mapping[str, Any] = {"type": "object"}
EMPTY = '""'


@dataclass(frozen=True)
class Signature:
    """A tool on offer. `strict`: its arguments fit its schema, whatever is in that; else what of the schema cannot be
    kept is left out. `param` names it in the client's request."""

    name: str
    parameters: Mapping[str, Any]
    strict: bool
    param: str


def signatures(tools: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> list[Signature]:
    """The functions among the tools that a chat prompt has, or those of these names."""
    found = []
    for place, tool in enumerate(tools):
        function = tool.get("function") or {}
        name = str(function.get("name"))
        if not names or name in names:
            parameters = function.get("parameters")
            given = parameters if isinstance(parameters, dict) else {}
            strict = bool(function.get("strict"))
            found.append(Signature(name, _object(given), strict, f"tools[{place}].function.parameters"))
    return found


def _object(parameters: dict[str, Any]) -> dict[str, Any]:
    """Arguments are an object, and a tool without parameters takes none."""
    if not parameters.get("properties") and not parameters.keys() - {"type", "properties", "required", "$schema"}:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    return {"type": "object"} | parameters


def call_rules(shape: CallShape, tools: Sequence[Signature], literals: Literals, *, parallel: bool) -> list[str]:
    """The rule `calls`: one call, or several. It goes on where `shape.trigger` ends.
    Raises BadGrammar for a schema that cannot be kept."""
    rest = shape.opener[len(shape.trigger) :]
    more = f"({literals.lark(shape.between + shape.begin)} named)*" if parallel else ""
    rules = [f"calls: {literals.lark(rest)} named {more} {literals.lark(shape.after)}"]
    rules.append("named: " + " | ".join(f"call_{place}" for place in range(len(tools))))
    for place, tool in enumerate(tools):
        begin, end = literals.lark(tool.name + shape.middle), literals.lark(shape.end)
        rules.append(f"call_{place}: {begin} arguments_{place} {end}")
        rules += _arguments(f"arguments_{place}", shape, tool, literals)
    return rules


def _arguments(name: str, shape: CallShape, tool: Signature, literals: Literals) -> list[str]:
    """The rule of this name, and what it needs."""
    if shape.element:
        return _elements(name, shape.element, tool, literals)
    if shape.arguments == "json":
        return [f"{name}: {json_expression(dict(tool.parameters), lenient=not tool.strict)}"]
    if shape.arguments == "python":
        values = ValueRules(PYTHON, literals, tool.parameters, name)
        return [f"{name}: {values.members(tool.parameters, ', ', '=', bare=True)}", *values.rules]
    values = ValueRules(gemma(shape.quote), literals, tool.parameters, name)
    inner = values.members(tool.parameters, ",", ":", bare=True)
    return [f"{name}: {literals.lark('{')} {inner} {literals.lark('}')}", *values.rules]


def _elements(name: str, element: str, tool: Signature, literals: Literals) -> list[str]:
    """One element for each member, in the schema's order; those that are not required may be left out."""
    properties = tool.parameters.get("properties") or {}
    required = tool.parameters.get("required") or []
    shared = {key: tool.parameters[key] for key in ("$defs", "definitions") if key in tool.parameters}
    parts, rules = [], []
    for place, (key, schema) in enumerate(properties.items()):
        rule = f"{name}_{place}"
        text = _is_text(schema)
        parts.append(rule if key in required else f"{rule}?")
        before, _, after = element.partition("{value}")
        filled = before.replace("{key}", key).replace("{string}", str(text).lower())
        if text and not _choices(schema):
            rules += [f"{rule}: {literals.lark(filled)} {rule}_value", *literals.up_to(f"{rule}_value", after)]
            continue
        rules.append(f"{rule}: {literals.lark(filled)} {rule}_value {literals.lark(after)}")
        if text:
            rules.append(f"{rule}_value: {' | '.join(literals.lark(each) for each in _choices(schema))}")
        else:
            schema = schema | shared if isinstance(schema, dict) else {}
            rules.append(f"{rule}_value: {json_expression(schema, lenient=not tool.strict)}")
    return [f"{name}: {' '.join(parts) or EMPTY}", *rules]


def _is_text(schema: Any) -> bool:
    """Whether a value may be a text: then anything is one."""
    if not isinstance(schema, dict) or not schema.keys() & {"type", "enum", "const", "anyOf", "oneOf", "$ref", "allOf"}:
        return True
    kinds = schema.get("type", [])
    if "string" in (kinds if isinstance(kinds, list) else [kinds]) or bool(_choices(schema)):
        return True
    return any(_is_text(each) for key in ("anyOf", "oneOf") for each in schema.get(key) or [])


def _choices(schema: Any) -> list[str]:
    """The texts that a value has to be one of; none where it may be anything, or something else."""
    if not isinstance(schema, dict):
        return []
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return list(values) if values and all(isinstance(value, str) and value for value in values) else []
