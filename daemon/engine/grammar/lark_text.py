"""The grammar of a whole answer in llguidance's dialect of Lark: reasoning, then what the client asked for.

https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from llguidance import LLMatcher, regex_to_lark
from llguidance.gbnf_to_lark import any_to_lark

from ...protocol import Grammar
from .answer_schema import ANY_OBJECT, compiled_schema, patterns
from .repetition import LONGEST, expanded

AROUND = r"/[ \t\r\n]{0,4}/"
"""White space beside a reasoning block is layout, not answer."""


ASCII = "d"
"""Of the classes in expressions, the digits are ASCII's, as ECMA-262 has it."""


class BadGrammar(Exception):
    """The grammar cannot be compiled; the message says why, in one line."""


@dataclass(frozen=True)
class Block:
    """Any text between two markers; without `end` it goes on to the end. The prompt may have `opened` it."""

    start: str
    end: str
    opened: bool = False


class Literals:
    """How the vocabulary writes fixed texts: its special tokens are no text, and are named by their ids."""

    def __init__(self, special: Mapping[str, int]) -> None:
        self._special = dict(special)
        spelled = sorted(filter(None, self._special), key=len, reverse=True)
        self._pattern = re.compile("(" + "|".join(map(re.escape, spelled)) + ")") if spelled else None

    def lark(self, text: str) -> str:
        """An expression that matches the text and nothing else."""
        pieces = self._pattern.split(text) if self._pattern else [text]
        return " ".join(self._piece(piece) for piece in pieces if piece)

    def _piece(self, piece: str) -> str:
        token = self._special.get(piece)
        return json.dumps(piece, ensure_ascii=False) if token is None else f"<[{token}]>"

    def is_special(self, text: str) -> bool:
        return text in self._special


def answer_grammar(
    grammar: Grammar, literals: Literals, reasoning: Block | None = None, calls: Block | None = None
) -> str:
    """What llguidance compiles: reasoning, if there is such a block, and then the answer, or calls of tools instead.
    Raises BadGrammar for what is none in its notation."""
    asked = "answer" if calls is None else "(answer | calls)"
    rules = [f"start: {asked}" if reasoning is None else f"start: thinking around {asked}"]
    if reasoning is not None:
        block = "thought" if reasoning.opened else f"({literals.lark(reasoning.start)} thought)?"
        rules += [f"thinking: {block}", _up_to("thought", reasoning.end, literals)]
    if calls is not None:
        rules += [f"calls: ({literals.lark(calls.start)} called around)+", _up_to("called", calls.end, literals)]
    if len(rules) > 1:
        rules.append(f"around: {AROUND}")
    return str(LLMatcher.grammar_from_lark("\n".join([*rules, _answer(grammar)])))


def _up_to(name: str, end: str, literals: Literals) -> str:
    """A rule for any text and the marker that ends it."""
    if not end or literals.is_special(end):
        return f"{name}: /(.|\\n)*/ {literals.lark(end)}"
    return f"{name}[suffix={json.dumps(end, ensure_ascii=False)}]: /(.|\\n)*/"


def _answer(grammar: Grammar) -> str:
    """The rule `answer`, and what it needs."""
    match grammar.type:
        case "json":
            return f"answer: {json_expression(ANY_OBJECT)}"
        case "json_schema":
            return f"answer: {json_expression(_schema(grammar.source))}"
        case "choice":
            texts = json.loads(grammar.source)
            return f"answer: {' | '.join(json.dumps(text, ensure_ascii=False) for text in texts)}"
        case "regex":
            _bound(grammar.source)
            return f"answer: /{regex_to_lark(grammar.source, ASCII)}/"
        case "lark":
            return _nested(grammar.source)


def _schema(source: str) -> dict[str, object]:
    try:
        schema = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise BadGrammar(f"it is no JSON, or nested too deeply ({type(error).__name__})") from error
    if not isinstance(schema, dict):
        raise BadGrammar("the schema must be a JSON object")
    return schema


def json_expression(schema: dict[str, object]) -> str:
    """An expression for the values that a schema allows. Raises BadGrammar."""
    for regex in patterns(schema):
        _bound(regex)
    return f"%json {json.dumps(compiled_schema(schema), ensure_ascii=False)}"


def _bound(regex: str) -> None:
    if expanded(regex) > LONGEST:
        raise BadGrammar(f"a regular expression whose repetitions make it longer than {LONGEST} parts")


def _nested(source: str) -> str:
    """A grammar of the client's own begins with its rule `start` (Lark) or `root` (GBNF)."""
    _bound(source)
    try:
        text = any_to_lark(source)
    except Exception as error:
        raise BadGrammar(one_line(str(error))) from error
    return f"answer: %lark {{\n{text}\n}}"


def one_line(text: str, most: int = 300) -> str:
    """The compiler's reason without its picture of the place."""
    text = text.replace("<non-verbose/>", "")
    kept = " ".join(line.strip() for line in text.split("\n") if line.strip(" ^|") and not _PICTURE.match(line))
    return kept if len(kept) <= most else kept[:most] + "…"


_PICTURE = re.compile(r"^\s*\d+ \| ")
