"""What schemas say of values in notations that are not JSON: kept in full, or refused where a tool is strict."""

from __future__ import annotations

from typing import Any

import pytest
from support.byte_vocabulary import CLOSE, SPECIAL, matches

from mlx_serve.daemon.engine.grammar.answer_form import AnswerForm
from mlx_serve.daemon.engine.grammar.call_shape import QWEN_CODER, CallShape
from mlx_serve.daemon.engine.grammar.literals import BadGrammar, Block
from mlx_serve.daemon.engine.grammar.values.alternatives import alternatives
from mlx_serve.daemon.protocol import Calling, ChatPrompt, Generate

PYTHON = CallShape("", "(", ")", before="[", after="]", arguments="python")
GEMMA = CallShape("call:", "", "<end>", arguments="gemma", quote="<q>")
SPECIAL_END = CallShape("<f>", ">", "</f>", element="<p={key}>\n{value}\n</think>\n")


def forced(shape: CallShape, schema: Any, *, strict: bool = True, required: bool = True, key: str = "x") -> str:
    parameters = {"type": "object", "properties": {key: schema}, "required": [key] if required else []}
    parameters["$defs"] = {"odd": {"type": "integer", "multipleOf": 2, "minimum": 0}}
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters, "strict": strict}}
    prompt = ChatPrompt(messages=({"role": "user", "content": "x"},), tools=(tool,))
    asked = Generate(prompt=prompt, parse_tools=True, calling=Calling(required=True, parallel=False))
    return AnswerForm(Block("", ""), Block("", ""), shape, SPECIAL).grammar(asked, "", False)


def element(value: str) -> str:
    return f"<tool_call>\n<function=f>\n<parameter=x>\n{value}\n</parameter>\n</function>\n</tool_call>"


KEPT: list[tuple[Any, list[str], list[str]]] = [
    ({"type": "string", "minLength": 2, "maxLength": 4}, ["ab", "é\n本x"], ["a", "", "abcde"]),
    ({"type": "string", "pattern": "^a[0-9]+$"}, ["a1", "a22"], ["a", "ba1", "a1b"]),
    ({"type": "string", "pattern": "b|c"}, ["abx", "c"], ["a", ""]),
    ({"type": "string", "pattern": "^(b|c)d"}, ["bd", "cdx"], ["abd", "b"]),
    ({"allOf": [{"type": "string"}, {"pattern": "a"}, {"pattern": "b"}]}, ["ab", "bxa"], ["a", "b"]),
    ({"const": "x y"}, ["x y"], ["x", '"x y"']),
]


@pytest.mark.parametrize(("schema", "fits", "others"), KEPT)
def test_texts_as_they_stand(schema: Any, fits: list[str], others: list[str]) -> None:
    """Lengths and patterns of texts without quotes, in elements and between Gemma's marks."""
    grammar, marked = forced(QWEN_CODER, schema), forced(GEMMA, schema)
    for text in fits:
        assert matches(grammar, element(text)), text
        assert matches(marked, f"call:f{{x:<q>{text}<q>}}<end>"), text
    for text in others:
        assert not matches(grammar, element(text)), text
        assert not matches(marked, f"call:f{{x:<q>{text}<q>}}<end>"), text


def test_other_values_beside_texts() -> None:
    """Where only certain texts may come, so may numbers; where any may, a number would be read as one."""
    some = forced(QWEN_CODER, {"anyOf": [{"enum": ["auto", None]}, {"$ref": "#/$defs/odd"}]})
    for value in ("auto", "null", "8"):
        assert matches(some, element(value)), value
    for value in ("auta", "7", "true", '"auto"'):
        assert not matches(some, element(value)), value
    texts = forced(QWEN_CODER, {"anyOf": [{"type": "string", "pattern": "^[a-z]+$"}, {"type": "integer"}]})
    assert matches(texts, element("ab")) and not matches(texts, element("7"))


def test_a_text_does_not_end_before_its_end() -> None:
    """What a reader takes for the end of a value cannot be part of it; a marker alone can."""
    grammar = forced(QWEN_CODER, {"type": "string"})
    assert matches(grammar, element("a</parameter>b"))
    assert not matches(grammar, element("a</parameter></function>b"))
    special = forced(SPECIAL_END, {"type": "string"})
    assert matches(special, "<f>f><p=x>\na\nb\n", CLOSE, "\n</f>")
    assert not matches(special, "<f>f><p=x>\na\n</think>\nb\n", CLOSE, "\n</f>")
    assert not matches(special, "<f>f><p=x>\na", CLOSE, "\n</f>")


@pytest.mark.parametrize(
    ("schema", "fits", "others"),
    [
        ({"type": "integer", "minimum": 3, "maximum": 5}, ["3", "5"], ["2", "6", "3.5"]),
        ({"type": "number", "multipleOf": 2}, ["4", "-2"], ["3"]),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2}, ["[True]", "[True, False]"],
         ["[]", "[True, True, True]"]),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 0}, ["[]"], ["[None]"]),
        ({"type": "string", "maxLength": 2}, ['"ab"', '""'], ['"abc"']),
        ({"type": "object", "additionalProperties": {"$ref": "#/$defs/odd"}}, ['{"k": 2}', "{}"], ['{"k": 3}']),
        ({"type": "object", "additionalProperties": False}, ["{}"], ['{"k": 3}']),
        ({"type": "object", "properties": {"a": {"enum": [1, "b"]}}, "required": ["a", "c"]}, ['{"a": "b", "c": 1}'],
         ['{"a": 1}', '{"a": 2, "c": 1}']),
    ],
)  # fmt: skip
def test_python_values(schema: Any, fits: list[str], others: list[str]) -> None:
    grammar = forced(PYTHON, schema)
    for value in fits:
        assert matches(grammar, f"[f(x={value})]"), value
    for value in others:
        assert not matches(grammar, f"[f(x={value})]"), value


def test_schemas_that_refer_to_themselves() -> None:
    """However deep: no level of them is free of the schema."""
    node = {"type": "object", "properties": {"n": {"$ref": "#/properties/x"}}, "additionalProperties": False}
    grammar = forced(PYTHON, node)
    deep = '{"n": ' * 30 + "{}" + "}" * 30
    assert matches(grammar, f"[f(x={deep})]")
    assert not matches(grammar, "[f(x=" + deep.replace("{}", "1") + ")]")


@pytest.mark.parametrize("shape", [QWEN_CODER, PYTHON, GEMMA], ids=["elements", "python", "gemma"])
def test_names_that_a_notation_cannot_hold(shape: CallShape) -> None:
    """Are left out, or refused where the call needs them; Gemma quotes them."""
    odd = "<q>" if shape is GEMMA else '"a\n b"'
    without = {
        QWEN_CODER: "<tool_call>\n<function=f>\n</function>\n</tool_call>",
        PYTHON: "[f()]",
        GEMMA: "call:f{}<end>",
    }
    assert matches(forced(shape, {}, key=odd, required=False), without[shape])
    with pytest.raises(BadGrammar, match="cannot hold the name") as caught:
        forced(shape, {}, key=odd)
    assert caught.value.param == "tools[0].function.parameters"
    assert matches(forced(GEMMA, {"type": "null"}, key="a b"), "call:f{<q>a b<q>:null}<end>")


ANCHORS = {"type": "string", "pattern": "^a|b$"}
UNKEPT: list[Any] = [
    {"type": "array", "uniqueItems": True},
    {"type": "object", "patternProperties": {"a": {}}},
    {"type": "object", "properties": {"a": {}}, "minProperties": 1},
    ANCHORS,
    {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    {"not": {"type": "string"}},
    {"type": "array", "prefixItems": [{}]},
    {"$ref": "#/$defs/nobody"},
    {"$ref": "#/properties/x"},
    False,
]


@pytest.mark.parametrize("schema", UNKEPT)
def test_what_cannot_be_kept(schema: Any) -> None:
    """Is an error that names the strict tool; another tool's call is forced all the same."""
    for shape in (PYTHON, GEMMA):
        if schema == ANCHORS and shape is PYTHON:
            continue  # a text in quotes is as JSON's
        with pytest.raises(BadGrammar) as caught:
            forced(shape, schema)
        assert caught.value.param == "tools[0].function.parameters"
        assert forced(shape, schema, strict=False)


def test_choices_that_exclude_each_other() -> None:
    """`oneOf` is kept where no value fits two: kinds, lists of values, or a member that tells objects apart."""
    objects = [
        {"type": "object", "properties": {"kind": {"const": kind}, "n": {"type": "integer"}}, "required": ["kind"]}
        for kind in ("a", "b")
    ]
    grammar = forced(PYTHON, {"oneOf": [*objects, {"type": "null"}, {"enum": [1, 2]}, {"enum": ["x"]}]})
    for value in ('{"kind": "a"}', '{"kind": "b", "n": 3}', "None", "2", '"x"'):
        assert matches(grammar, f"[f(x={value})]"), value
    assert not matches(grammar, '[f(x={"kind": "c"})]')


def test_alternatives_of_one_kind_each() -> None:
    """Lists of types, references, choices and conjunctions come out as plain schemas."""
    root = {"$defs": {"a": {"type": ["integer", "null"], "minimum": 1}}}
    schema = {"allOf": [{"$ref": "#/$defs/a"}, {"minimum": 3, "description": "x"}], "maximum": 9}
    assert alternatives(schema, root, strict=True) == [
        {"type": "integer", "minimum": 3, "maximum": 9},
        {"type": "null", "minimum": 3, "maximum": 9},
    ]
    assert alternatives({"enum": [1, "a", True], "type": ["string", "number"]}, root, strict=True) == [
        {"enum": [1, "a"]}
    ]
    assert alternatives({}, root, strict=True) == [{}] == alternatives(True, root, strict=True)
    with pytest.raises(BadGrammar, match="no value"):
        alternatives({"allOf": [{"type": "string"}, {"type": "integer"}]}, root, strict=False)
