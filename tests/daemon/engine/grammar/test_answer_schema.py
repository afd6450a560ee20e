"""Schemas as the compiler gets them: closed where that is safe, and without what nobody enforces."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.byte_vocabulary import END, TRIE, matcher, matches, walk
from support.random_schemas import random_schema

from mlx_serve.daemon.engine.grammar.answer_form import AnswerForm
from mlx_serve.daemon.engine.grammar.answer_schema import compiled_schema
from mlx_serve.daemon.engine.grammar.literals import Block
from mlx_serve.daemon.protocol import Generate, Grammar, TextPrompt


def grammar(schema: dict[str, Any]) -> str:
    wanted = Grammar(type="json_schema", source=json.dumps(schema))
    made = AnswerForm(Block("", ""), Block("", ""), None, {"<|end|>": END})
    return made.grammar(Generate(prompt=TextPrompt(text=""), grammar=wanted), "", False)


A = {"a": {"type": "integer"}}
OBJECT: dict[str, Any] = {"type": "object", "properties": A}
CLOSED = [
    OBJECT,
    {"$defs": {"o": OBJECT}, "$ref": "#/$defs/o"},
    {"anyOf": [OBJECT, {"type": "string"}]},
    {"anyOf": [{"$ref": "#/$defs/o"}, {"type": "null"}], "$defs": {"o": OBJECT}},
]
OPEN = [
    {"type": "object"},
    {"type": "object", "properties": {}},
    OBJECT | {"additionalProperties": True},
    OBJECT | {"required": ["b"]},
    OBJECT | {"required": ["a"], "minProperties": 2},
    OBJECT | {"patternProperties": {"^b": {}}},
    {"allOf": [OBJECT, {"type": "object", "properties": {"b": {}}}]},
    OBJECT | {"anyOf": [{"type": "object", "properties": {"b": {}}, "required": ["b"]}]},
]


@pytest.mark.parametrize("schema", CLOSED)
def test_objects_are_closed(schema: dict[str, Any]) -> None:
    """A model that may add members of its own often never stops."""
    text = grammar(schema)
    assert matches(text, '{"a": 1}')
    assert not matches(text, '{"a": 1, "b": 2}')


@pytest.mark.parametrize("schema", OPEN)
def test_objects_that_need_more_stay_open(schema: dict[str, Any]) -> None:
    """Where the schema says so, or where what is asked for elsewhere could not be met."""
    assert matches(grammar(schema), '{"a": 1, "b": 2}')


def test_digits_are_those_of_ascii() -> None:
    """In patterns, as ECMA-262 has it."""
    assert matches(grammar({"type": "string", "pattern": r"^\d$"}), '"7"')
    assert not matches(grammar({"type": "string", "pattern": r"^\d$"}), '"٧"')


def test_the_clients_schema_is_left_alone() -> None:
    """A copy is changed; what only looks like a schema, in a constant, is data."""
    schema = {"properties": {"format": {"format": "x"}}, "const": {"format": "x", "properties": A}}
    before = json.dumps(schema)
    made = compiled_schema(schema)
    assert json.dumps(schema) == before
    assert made["const"] == schema["const"]
    assert "format" in made["properties"] and "format" not in made["properties"]["format"]


def test_options_for_the_compiler_are_not_the_clients() -> None:
    """`x-guidance` in a schema could turn checks off."""
    schema = {"type": "integer", "x-guidance": {"lenient": True, "whitespace_pattern": ".*"}, "uniqueItems": False}
    assert '"lenient": false' in json.dumps(compiled_schema(schema))
    assert matches(grammar(schema), "12")


def test_white_space_has_an_end() -> None:
    """One line end and an indentation between two parts; the model cannot go on with blanks for ever."""
    text = grammar(OBJECT | {"required": ["a"]})
    assert matches(text, '{\n    "a": 1\n}') and matches(text, '{\r\n\t"a" : 1 }')
    for blank in ("  ", "\n\n", "\n" + 65 * " ", "\t"):
        assert not matches(text, "{" + blank + '"a": 1}')


@pytest.mark.parametrize("form", ["path", "binary", "uri-reference", "a-new-one"])
def test_formats_that_nobody_enforces_mean_nothing(form: str) -> None:
    """As JSON Schema has it; one that is known holds."""
    assert matches(grammar({"type": "string", "format": form}), '"x y"')
    assert not matches(grammar({"type": "string", "format": "date"}), '"x y"')
    assert matches(grammar({"type": "string", "format": "date"}), '"2024-02-29"')


def test_random_answers_to_random_schemas_are_valid() -> None:
    """Every answer that ends is valid by another implementation of JSON Schema."""
    chance = random.Random(4)
    ended = compiled = 0
    for _ in range(300):
        schema = random_schema(chance)
        whole = matcher(grammar(schema))
        compiled += 1
        for _ in range(2):
            drawn = walk(whole.deep_copy(), TRIE.vocab_size, chance, 400)
            if drawn is not None:
                text = bytes(token for token in drawn if token != END).decode()
                Draft202012Validator(schema).validate(json.loads(text))
                ended += 1
    assert compiled == 300 and ended > 300
