"""The grammar of a whole answer: what it takes, with and without reasoning and calls, and what it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.byte_vocabulary import CLOSE, OPEN, SPECIAL, matches

from mlx_serve.daemon.engine.grammar.answer_form import AnswerForm
from mlx_serve.daemon.engine.grammar.literals import BadGrammar, Block
from mlx_serve.daemon.protocol import ChatPrompt, Generate, Grammar, TextPrompt

TOOLS = ({"type": "function", "function": {"name": "f"}},)
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
ANSWERS = {
    "json": (Grammar(type="json"), ['{"x": [1, {"y": null}]}', "{}", '{\n  "x": "é"\n}'], ["[]", "1", "", '{"x": 01}']),
    "schema": (
        Grammar(type="json_schema", source=json.dumps(SCHEMA)),
        ['{"a": 1}', '{"a":-20}', '{\n\t"a": 1\n}'],
        ["{}", '{"a": "1"}', '{"a": 1.5}', '{"a": 1} ', '{"a": 1, "b": 2}', '{"a":                 1}'],
    ),
    "regex": (
        Grammar(type="regex", source="^a/\\d{2}\n?$"),
        ["a/12", "a/12\n"],
        ["a/1", "a/123", "xa/12", "a/٧٧"],
    ),
    "choice": (
        Grammar(type="choice", source='["yes", "yes, but", "\\"no\\"", "日本\\n"]'),
        ["yes", "yes, but", '"no"', "日本\n"],
        ["ye", "yes,", "no", "日"],
    ),
    "lark": (Grammar(type="lark", source='start: "a" b+\nb: "b" | /[0-9]/'), ["ab", "a7b"], ["a", "ba"]),
    "gbnf": (Grammar(type="lark", source='root ::= "a" rest\nrest ::= [0-9]+ | "z"'), ["a12", "az"], ["a", "z"]),
}


NONE = Block("", "")


def form(thinking: Block = NONE, calls: Block = NONE) -> AnswerForm:
    return AnswerForm(thinking, calls, None, SPECIAL)


def chat(grammar: Grammar, **options: Any) -> Generate:
    tools = options.pop("tools", ())
    prompt = ChatPrompt(messages=({"role": "user", "content": "x"},), tools=tools, **options)
    return Generate(prompt=prompt, grammar=grammar, parse_tools=bool(tools))


@pytest.mark.parametrize("kind", ANSWERS)
def test_each_kind_alone(kind: str) -> None:
    """Reasoning cannot come before an answer of a model that has no such block."""
    grammar, good, bad = ANSWERS[kind]
    text = form().grammar(chat(grammar), "", False)
    assert all(matches(text, answer) for answer in good)
    assert not any(matches(text, answer) for answer in bad)
    assert not matches(text, OPEN, "hm", CLOSE, good[0])


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("special", [True, False])
def test_reasoning_may_come_first(kind: str, special: bool) -> None:
    """Any text up to the end marker, and white space; the markers may be special tokens or plain text."""
    grammar, good, bad = ANSWERS[kind]
    block = Block("<think>", "</think>") if special else Block("[THINK]", "[/THINK]")
    start, end = (OPEN, CLOSE) if special else ("[THINK]", "[/THINK]")
    text = form(block).grammar(chat(grammar), "", False)
    for answer in good:
        assert matches(text, answer)
        assert matches(text, start, '{"a" \n hm, [/', end, answer)
        assert matches(text, start, end, "\n\n", answer)
        assert not matches(text, start, "hm", answer)
        assert not matches(text, "hm", end, answer)
    assert not any(matches(text, start, "hm", end, answer) for answer in bad)


@pytest.mark.parametrize("kind", ANSWERS)
def test_reasoning_that_the_prompt_has_opened(kind: str) -> None:
    """It has to end before the answer begins, in raw prompts too."""
    grammar, good, _ = ANSWERS[kind]
    made = form(Block("<think>", "</think>"))
    for request in (chat(grammar), Generate(prompt=TextPrompt(text="x"), grammar=grammar)):
        text = made.grammar(request, "…<think>\n", True)
        assert matches(text, "hm", CLOSE, "\n\n", good[0])
        assert not matches(text, good[0])


def test_no_reasoning_where_it_is_not_wanted() -> None:
    """Turned off, closed by the prompt, in raw prompts, in an answer that goes on, or not parted from the answer."""
    grammar, good, _ = ANSWERS["schema"]
    made = form(Block("<think>", "</think>"))
    for request, rendered in (
        (chat(grammar, thinking=False), "x"),
        (chat(grammar), "<think>\n\n</think>\n\n"),
        (chat(grammar, continue_last=True), "x"),
        (Generate(prompt=TextPrompt(text="x"), grammar=grammar), "x"),
        (Generate(prompt=TextPrompt(text="x"), grammar=grammar, split_reasoning=False), "<think>"),
    ):
        text = made.grammar(request, rendered, rendered == "<think>")
        assert matches(text, good[0])
        assert not matches(text, OPEN, "hm", CLOSE, good[0])


@pytest.mark.parametrize("end", ["</tool_call>", ""])
def test_calls_instead_of_an_answer(end: str) -> None:
    """With tools on offer the model may answer, or call; nothing else, and not both."""
    grammar, good, bad = ANSWERS["schema"]
    made = form(Block("<think>", "</think>"), Block("<tool_call>", end))
    text = made.grammar(chat(grammar, tools=TOOLS), "", False)
    call = '<tool_call>{"name": "f"}' + end
    assert matches(text, good[0]) and matches(text, call) and matches(text, OPEN, "hm", CLOSE, "\n", call)
    if end:
        assert matches(text, call, "\n", call)
        assert not matches(text, call, good[0])
    assert not matches(text, bad[0]) and not matches(text, "so: " + call)
    without = made.grammar(chat(grammar), "", False)
    assert not matches(without, call)


BAD = {
    "a type that is none": ("json_schema", '{"type": "bogus"}', "Invalid type: bogus"),
    "look-ahead": ("json_schema", '{"type": "string", "pattern": "^(?!a)"}', "look-around"),
    "no answer at all": ("json_schema", '{"type": "integer", "minimum": 2, "maximum": 1}', "Unsatisfiable"),
    "not known": ("json_schema", '{"not": {"type": "string"}}', 'the keyword "not" cannot be kept'),
    "somewhere else": ("json_schema", '{"$ref": "https://example.com/x.json"}', "https://example.com/x.json"),
    "no expression": ("regex", "a(b", "unclosed group"),
    "no grammar": ("lark", "start: nothing", "nothing"),
    "no text": ("lark", "}", ""),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("thinking", [Block("", ""), Block("<think>", "</think>")])
def test_why_a_grammar_is_none(case: str, thinking: Block) -> None:
    """The compiler's own reason in a line, whatever stands around the grammar."""
    kind, source, reason = BAD[case]
    with pytest.raises(BadGrammar) as caught:
        form(thinking).grammar(chat(Grammar(type=kind, source=source)), "", False)  # type: ignore[arg-type]
    assert reason in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 320
