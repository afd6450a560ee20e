"""The values of arguments have the types that the tool's schema gives them."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from mlx_serve.daemon.engine.output.formats.notation.offered_tools import OfferedTools, types_of

ROOT = {
    "type": "object",
    "$defs": {"count": {"type": "integer"}, "loop": {"$ref": "#/$defs/loop"}},
    "properties": {
        "text": {"type": "string"},
        "count": {"$ref": "#/$defs/count"},
        "share": {"type": "number"},
        "on": {"type": "boolean"},
        "items": {"type": "array", "items": {"type": "integer"}},
        "point": {"type": "object", "properties": {"x": {"type": "number"}, "name": {"type": "string"}}},
        "maybe": {"type": ["integer", "null"]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "level": {"enum": [1, 2, 3]},
        "fixed": {"const": True},
        "loop": {"$ref": "#/$defs/loop"},
        "any": {},
        "nullable": {"type": "string", "nullable": True},
        "some": {"anyOf": [{"enum": ["auto", "a b"]}, {"type": "integer"}, {"type": "object"}]},
        "mixed": {"enum": ["x", 2.5, None]},
        "open": {"anyOf": [{}, {"type": "boolean"}]},
    },
}
TOOLS = OfferedTools([{"type": "function", "function": {"name": "f", "parameters": ROOT}}])

WRITTEN: list[tuple[str, str, Any]] = [
    ("text", "5", "5"),
    ("text", "true", "true"),
    ("text", '{"a": 1}', '{"a": 1}'),
    ("text", "  indented\n", "  indented\n"),
    ("count", "5", 5),
    ("count", " 5\n", 5),
    ("count", "5.0", 5),
    ("count", "five", "five"),
    ("share", "0.5", 0.5),
    ("share", "3", 3),
    ("share", "1e999", "1e999"),
    ("share", "NaN", "NaN"),
    ("on", "true", True),
    ("on", "False", False),
    ("on", "yes", "yes"),
    ("items", "[1, 2]", [1, 2]),
    ("items", '["1", 2]', [1, 2]),
    ("point", '{"x": "1.5", "name": 7}', {"x": 1.5, "name": "7"}),
    ("maybe", "null", None),
    ("maybe", "None", None),
    ("maybe", "4", 4),
    ("either", "4", "4"),
    ("level", "2", 2),
    ("fixed", "true", True),
    ("loop", "3", 3),
    ("any", "[1]", [1]),
    ("any", "words", "words"),
    ("any", '"quoted"', '"quoted"'),
    ("unknown", "12", 12),
    ("unknown", "a b", "a b"),
    ("nullable", "null", None),
    ("some", "auto", "auto"),
    ("some", '"a b"', "a b"),
    ("some", "7", 7),
    ("some", '{"a": 1}', {"a": 1}),
    ("some", "7.5", "7.5"),
    ("mixed", "2.5", 2.5),
    ("mixed", "x", "x"),
    ("mixed", "None", None),
    ("open", "</x> y", "</x> y"),
    ("open", "true", True),
]
JSON: list[tuple[str, Any, Any]] = [
    ("count", "5", 5),
    ("count", 5.0, 5),
    ("count", "five", "five"),
    ("text", 5, "5"),
    ("text", True, "true"),
    ("text", None, None),
    ("text", [1], [1]),
    ("on", "True", True),
    ("share", "1.5", 1.5),
    ("either", 4, 4),
    ("items", "[1]", [1]),
    ("point", {"x": "2"}, {"x": 2}),
    ("unknown", "5", "5"),
]


@pytest.mark.parametrize(("key", "text", "value"), WRITTEN)
def test_values_without_quotes(key: str, text: str, value: Any) -> None:
    found = TOOLS.read("f", key, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("key", "given", "value"), JSON)
def test_values_of_json(key: str, given: Any, value: Any) -> None:
    found = TOOLS.typed("f", key, given)
    assert found == value
    assert type(found) is type(value)


def test_names() -> None:
    assert TOOLS.name("f") == TOOLS.name(" functions.f\n") == "f"
    assert TOOLS.name("g") is TOOLS.name(5) is TOOLS.name(None) is None
    assert OfferedTools([{"name": "bare"}]).name("bare") == "bare"


@pytest.mark.parametrize("schema", [None, True, 5, {"type": 7}, {"anyOf": 3}, {"$ref": "#/nowhere"}, {"enum": []}])
def test_schemas_that_say_nothing(schema: Any) -> None:
    """Whatever a client put there, nothing is raised."""
    assert types_of(schema, {}) <= {"7"}
    tools = OfferedTools([{"function": {"name": "f", "parameters": {"properties": {"x": schema}}}}])
    assert tools.read("f", "x", "word") == "word"
    for odd in (None, [], "x", {"properties": []}):
        assert OfferedTools([{"function": {"name": "f", "parameters": odd}}]).read("f", "x", "word") == "word"


def test_a_value_that_the_model_calls_none_of_text() -> None:
    """Where the notation says so, a number is a number although a text may stand there."""
    assert TOOLS.read("f", "either", "4", value=True) == 4
    assert TOOLS.read("f", "either", "4") == "4"


def test_calls_that_a_grammar_binds() -> None:
    """A number too large for JSON's readers is the largest; a value of JSON ends where it is whole."""
    tools = OfferedTools([{"name": "f", "parameters": ROOT}], bound=True)
    assert tools.read("f", "share", "-1e999") == -sys.float_info.max
    assert not tools.is_whole("f", "point", '{"name": "')
    assert tools.is_whole("f", "point", '{"name": ""}') and tools.is_whole("f", "text", '{"')
    assert TOOLS.is_whole("f", "point", '{"name": "')
