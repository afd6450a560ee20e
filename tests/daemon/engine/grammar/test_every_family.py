"""Forced calls of every family that has a notation of its own: what the grammar lets through, the format reads."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.byte_vocabulary import END, TRIE, matcher, matches, walk

from mlx_serve.daemon.engine.grammar.answer_form import AnswerForm
from mlx_serve.daemon.engine.grammar.literals import Block
from mlx_serve.daemon.engine.output.formats.family import Family
from mlx_serve.daemon.engine.output.formats.markup.harmony import HARMONY
from mlx_serve.daemon.engine.output.formats.table import FAMILIES, open_format
from mlx_serve.daemon.engine.output.pieces import Call, Reasoning, Text
from mlx_serve.daemon.protocol import Calling, ChatPrompt, Generate, Grammar

SCHEMAS: dict[str, dict[str, Any]] = {
    "get_weather": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 12, "pattern": "^[a-zA-Z '\"<>é{}]{1,8}$"},
            "days": {"type": "integer", "minimum": 0, "maximum": 99},
            "unit": {"enum": ["c", "f"]},
            "exact": {"type": "boolean"},
        },
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
    "stop": {"type": "object", "properties": {}, "additionalProperties": False},
}
TOOLS = tuple(
    {"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in SCHEMAS.items()
)
SHAPED = [family for family in FAMILIES if family.shape is not None]
CALLS = 40


@pytest.mark.parametrize("family", SHAPED, ids=lambda family: family.name)
@pytest.mark.parametrize("parallel", [False, True], ids=["one", "many"])
def test_what_is_forced_is_read(family: Family, parallel: bool) -> None:
    """Random allowed answers: each is calls of offered tools and nothing else, and their arguments fit."""
    assert family.shape is not None
    made = AnswerForm(Block("", ""), Block("", ""), family.shape, {})
    prompt = ChatPrompt(messages=({"role": "user", "content": "x"},), tools=TOOLS)
    asked = Generate(prompt=prompt, parse_tools=True, calling=Calling(required=True, parallel=parallel))
    assert made.binds(asked)
    whole = matcher(made.grammar(asked, "", False))
    chance, ended = random.Random(3), 0
    for _ in range(CALLS):
        drawn = walk(whole.deep_copy(), TRIE.vocab_size, chance, 400)
        if drawn is None:
            continue
        said = bytes(token for token in drawn if token != END).decode()
        calls = read(family, said, chance)
        assert calls, said
        assert parallel or len(calls) == 1, said
        for call in calls:
            arguments = json.loads(call.arguments)
            Draft202012Validator(SCHEMAS[call.name]).validate(arguments)
        ended += 1
    assert ended > CALLS // 8


def read(family: Family, said: str, chance: random.Random) -> list[Call]:
    """The calls in a text that comes in random pieces. There is no other text."""
    followed = open_format(family, TOOLS, reasoning=True, calls=True)
    pieces = []
    while said:
        size = chance.randint(1, 9)
        pieces += followed.add(said[:size])
        said = said[size:]
    pieces += followed.finish()
    other = [piece for piece in pieces if not isinstance(piece, Call)]
    assert not any(isinstance(piece, Text) and piece.text.strip() for piece in other), other
    return [piece for piece in pieces if isinstance(piece, Call)]


def test_an_answer_in_harmonys_channel() -> None:
    """gpt-oss thinks in one channel and answers in another: a shape for the answer binds what is in that."""
    thought = HARMONY.thoughts[0]
    block = Block(thought.start, thought.end, resume=HARMONY.resume)
    made = AnswerForm(block, Block("", ""), HARMONY.shape, {}, HARMONY.answer)
    prompt = ChatPrompt(messages=({"role": "user", "content": "x"},))
    asked = Generate(prompt=prompt, grammar=Grammar(type="json_schema", source=json.dumps(SCHEMAS["get_weather"])))
    grammar = made.grammar(asked, "<|start|>assistant", False)
    value = '{"city": "Rome", "unit": "c"}'
    answer = f"<|channel|>final<|message|>{value}"
    thinking = "<|channel|>analysis<|message|>Hm, {<|end|><|start|>assistant"
    assert matches(grammar, answer) and matches(grammar, thinking + answer)
    assert not matches(grammar, value) and not matches(grammar, thinking + value)
    followed = open_format(HARMONY, reasoning=True, calls=False)
    pieces = [*followed.add(thinking + answer), *followed.finish()]
    assert "".join(piece.text for piece in pieces if isinstance(piece, Text)) == value
    assert "".join(piece.text for piece in pieces if isinstance(piece, Reasoning)) == "Hm, {"


def test_free_answers_and_strict_calls_in_harmony() -> None:
    """Bound by a tool's schema only, gpt-oss answers in its channel, or calls."""
    thought = HARMONY.thoughts[0]
    made = AnswerForm(
        Block(thought.start, thought.end, resume=HARMONY.resume), Block("", ""), HARMONY.shape, {}, HARMONY.answer
    )
    prompt = ChatPrompt(messages=({"role": "user", "content": "x"},), tools=TOOLS)
    asked = Generate(prompt=prompt, parse_tools=True, calling=Calling(parallel=False))
    grammar = made.grammar(asked, "<|start|>assistant", False)
    call = "<|channel|>commentary to=functions.{} <|constrain|>json<|message|>{{}}<|call|>"
    thinking = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
    for before in ("", thinking):
        assert matches(grammar, before + "<|channel|>final<|message|>Hello, you")
        assert matches(grammar, before + call.format("stop"))
        assert not matches(grammar, before + call.format("get_weather"))
        assert not matches(grammar, before + "Hello")


def test_only_markers_are_looked_for_in_free_text() -> None:
    """Words and brackets that any text may have begin no call there."""
    triggers = {family.name: family.shape.trigger for family in SHAPED if family.shape is not None}
    assert all(trigger.strip().startswith(("<", "[")) for trigger in triggers.values() if trigger)
    assert {name for name, trigger in triggers.items() if not trigger} == {
        *("llama3", "llama4", "functionary-3.2", "command-r-plus", "firefunction")
    }
