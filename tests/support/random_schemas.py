"""Random JSON schemas, of the keywords that clients use."""

from __future__ import annotations

import random
from typing import Any

KINDS = ("object", "array", "string", "integer", "number", "boolean", "enum", "const", "anyOf", "ref", "null")


def random_schema(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    """Of the keywords that clients use; it always has an answer of moderate length."""
    kind = chance.choice(KINDS if depth < 3 else KINDS[2:8])
    match kind:
        case "object":
            names = chance.sample(["id", "name", "日本", "a b", 'q"x', "tags", "x-y", "n"], chance.randint(0, 4))
            properties = {name: random_schema(chance, depth + 1) for name in names}
            required = [name for name in names if chance.random() < 0.6]
            extra = chance.choice([{}, {}, {"additionalProperties": False}, {"additionalProperties": {"type": "null"}}])
            return {"type": "object", "properties": properties, "required": required} | extra
        case "array":
            least = chance.randint(0, 2)
            return {"type": "array", "items": random_schema(chance, depth + 1)} | chance.choice(
                [{}, {"minItems": least, "maxItems": least + chance.randint(0, 2)}]
            )
        case "string":
            return {"type": "string"} | chance.choice(
                [
                    {},
                    {"maxLength": chance.randint(0, 9)},
                    {"minLength": 2, "maxLength": 5},
                    {"pattern": "^[a-z]{2,4}-[0-9]+$"},
                    {"pattern": "(ab|c)"},
                    {"format": chance.choice(["date-time", "uuid", "ipv4", "email", "time"])},
                ]
            )
        case "integer" | "number":
            low = chance.randint(-50, 50)
            return {"type": kind} | chance.choice(
                [
                    {},
                    {"minimum": low},
                    {"minimum": low, "maximum": low + 7},
                    {"exclusiveMaximum": low},
                    {"multipleOf": 3},
                ]
            )
        case "enum":
            return {"enum": chance.sample([1, "a", None, True, [1, "x"], {"k": "v"}, "日", 'q"', 2.5, ""], 3)}
        case "const":
            return {"const": chance.choice(["x", 7, {"a": [1, 2]}, None, "a\nb"])}
        case "anyOf":
            return {"anyOf": [random_schema(chance, depth + 1) for _ in range(chance.randint(1, 3))]}
        case "ref":
            node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}}
            return {"$defs": {"n": node | {"required": ["next"]}}, "$ref": "#/$defs/n"} if depth == 0 else {}
    return {"type": kind}
