"""JSON Schema of the fields whose type says less than their endpoint checks."""

from __future__ import annotations

from ..model_options import RANGES, TYPES, UNUSED
from ..ranges import MAX_STOPS
from .operation import Schema

NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 512}
STOP: Schema = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 1024},
        {"type": "array", "maxItems": MAX_STOPS, "items": {"type": "string", "minLength": 1, "maxLength": 1024}},
        {"type": "null"},
    ]
}
SEED: Schema = {"type": ["integer", "null"], "minimum": -(2**63), "maximum": 2**64 - 1}
KEEP_ALIVE: Schema = {
    "type": ["string", "number", "null"],
    "description": "How long the model stays in memory afterwards: seconds, or a duration such as `5m`; 0: it leaves "
    "at once; negative: for ever.",
}
TOOL_CHOICE: Schema = {
    "anyOf": [{"enum": ["auto", "none", "required", None]}, {"type": "object"}],
    "description": "An object names a function, or several with `allowed_tools`.",
}
THINK: Schema = {"enum": [True, False, "low", "medium", "high", "max", None]}
FORMAT: Schema = {
    "anyOf": [{"enum": ["json", "", None]}, {"type": "object"}],
    "description": "`json`, or a JSON Schema that the answer keeps.",
}
SCHEMA: Schema = {"type": ["object", "string", "null"], "description": "A JSON Schema, or its text."}
TEXTS: Schema = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "maxItems": 2048},
        {"type": "null"},
    ]
}
_EXACT = 2**53  # beyond it a fraction has no place in a float


def options() -> Schema:
    """Ollama's options."""
    kinds = {"integer": "number", "float32": "number", "boolean": "boolean", "array": "array"}
    properties: dict[str, Schema] = {}
    for name, kind in TYPES.items():
        shape: Schema = {"type": [kinds[kind], "null"]}
        if kind == "array":
            shape |= {"items": {"type": "string", "minLength": 1, "maxLength": 1024}, "maxItems": MAX_STOPS}
        if name in RANGES:
            shape |= _cut(*RANGES[name]) if kind == "integer" else _between(*RANGES[name])
        if name in UNUSED:
            shape |= {"description": "Ignored: checked, and without effect.", "x-support": "ignored"}
        elif kind == "integer":
            shape["description"] = "A fraction is cut off."
        properties[name] = shape
    return {"type": ["object", "null"], "properties": properties}


def _between(least: float, most: float) -> Schema:
    return {"minimum": least, "maximum": most}


def _cut(least: float, most: float) -> Schema:
    """The range of a number whose fraction is cut off before it is checked."""
    if least > 0 or max(-least, most) >= _EXACT:
        return _between(least, most)
    return {"exclusiveMinimum": least - 1, "exclusiveMaximum": most + 1}
