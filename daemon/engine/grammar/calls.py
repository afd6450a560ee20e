"""Calls of offered tools as rules of a grammar: the names, the family's shape, and arguments that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .answer_rules import json_expression
from .call_shape import CallShape
from .literals import BadGrammar, Literals
from .values.alternatives import Alternative, alternatives
from .values.element_rules import ElementRules
from .values.value_rules import PYTHON, ValueRules, gemma

ANY_ARGUMENTS: Mapping[str, Any] = {"type": "object"}


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
    parameters, strict = tool.parameters, tool.strict
    if shape.element:
        return ElementRules(shape.element, shape.end + shape.after, parameters, strict, literals).rules(name)
    if shape.arguments == "json":
        return [f"{name}: {json_expression(dict(parameters), lenient=not strict)}"]
    if shape.arguments == "python":
        values = ValueRules(PYTHON, literals, parameters, name, strict)
        return [f"{name}: {values.members(_members(tool), ', ', '=', bare=True)}", *values.rules]
    values = ValueRules(gemma(shape.quote), literals, parameters, name, strict)
    inner = values.members(_members(tool), ",", ":", bare=True)
    return [f"{name}: {literals.lark('{')} {inner} {literals.lark('}')}", *values.rules]


def _members(tool: Signature) -> Alternative:
    """What the parameters say of an object's members. Raises BadGrammar where they leave several ways."""
    found = [each for each in alternatives(tool.parameters, tool.parameters, strict=tool.strict) if _is_object(each)]
    if len(found) != 1 and tool.strict:
        raise BadGrammar("a choice among objects of arguments cannot be kept in this model's notation of calls")
    return found[0] if found else {}


def _is_object(each: Alternative) -> bool:
    return each.get("type") == "object"
