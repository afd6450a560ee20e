"""What a client asks of an answer, as a rule of a grammar."""

from __future__ import annotations

import json

from llguidance import regex_to_lark
from llguidance.gbnf_to_lark import any_to_lark

from ...protocol import Grammar
from .answer_schema import ANY_OBJECT, compiled_schema, patterns
from .literals import BadGrammar, one_line
from .repetition import LONGEST, expanded

ASCII = "d"
"""Of the classes in expressions, the digits are ASCII's, as ECMA-262 has it."""


def answer_rule(grammar: Grammar) -> str:
    """The rule `answer`. Raises BadGrammar."""
    match grammar.type:
        case "json":
            return f"answer: {json_expression(ANY_OBJECT)}"
        case "json_schema":
            return f"answer: {json_expression(_schema(grammar.source))}"
        case "choice":
            texts = json.loads(grammar.source)
            return f"answer: {' | '.join(json.dumps(text, ensure_ascii=False) for text in texts)}"
        case "regex":
            bound(grammar.source)
            return f"answer: /{regex_to_lark(grammar.source, ASCII)}/"
        case "lark":
            return _nested(grammar.source)


def json_expression(schema: dict[str, object], *, lenient: bool = False) -> str:
    """An expression for the values that a schema allows. `lenient`: keywords that cannot be kept are left out.
    Raises BadGrammar."""
    for regex in patterns(schema):
        bound(regex)
    return f"%json {json.dumps(compiled_schema(schema, lenient=lenient), ensure_ascii=False)}"


def _schema(source: str) -> dict[str, object]:
    try:
        schema = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise BadGrammar(f"it is no JSON, or nested too deeply ({type(error).__name__})") from error
    if not isinstance(schema, dict):
        raise BadGrammar("the schema must be a JSON object")
    return schema


def bound(regex: str) -> None:
    """Raises BadGrammar for an expression that its repetitions make too long."""
    if expanded(regex) > LONGEST:
        raise BadGrammar(f"a regular expression whose repetitions make it longer than {LONGEST} parts")


def _nested(source: str) -> str:
    """A grammar of the client's own begins with its rule `start` (Lark) or `root` (GBNF)."""
    bound(source)
    try:
        text = any_to_lark(source)
    except Exception as error:
        raise BadGrammar(one_line(str(error))) from error
    return f"answer: %lark {{\n{text}\n}}"
