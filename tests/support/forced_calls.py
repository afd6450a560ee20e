"""Forced calls by the thousand: random tools, and random walks through what the grammar of a family lets through.

Each walk is as a model of random weights would do it: any allowed byte may come, those of the family's own markers
more often, for what looks like one is where a notation goes wrong. The markers are special tokens in half of the walks,
and letters like others in the rest.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from mlx_serve.daemon.engine.grammar.answer_form import AnswerForm
from mlx_serve.daemon.engine.grammar.call_shape import CallShape
from mlx_serve.daemon.engine.grammar.literals import BadGrammar, Block
from mlx_serve.daemon.engine.output.formats.family import Family
from mlx_serve.daemon.engine.output.formats.table import open_format
from mlx_serve.daemon.engine.output.pieces import Piece
from mlx_serve.daemon.protocol import Calling, ChatPrompt, Generate

from .byte_vocabulary import END, matcher, trie
from .random_schemas import random_schema
from .spoken_calls import Understood, understood

WALKS = 10
"""Of each set of tools: a grammar is compiled once for so many."""
LONGEST = 1500
NAMES = ("get_weather", "time", "files.read", "set-level", "a")
KEYS = ("city", "days", "unit", "exact", "text", "place", "level", "tags")
_TAG = re.compile(r"<\|\"\|>|</?[｜|]?[a-z][^<>\s=\"{}]*>|\[[A-Z_]+\]")
_ENDS = b"\"'}])>,\n0"


@dataclass
class Tally:
    """What came of the walks of one family. `wrong` says of each faulty one how it was asked for and what it was."""

    calls: int = 0
    walks: int = 0
    cut: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)


def random_tool(chance: random.Random, name: str) -> dict[str, Any]:
    """A function with up to four parameters; one in ten has none."""
    function: dict[str, Any] = {"name": name}
    if chance.random() < 0.9:
        keys = chance.sample(KEYS, chance.randint(0, 4))
        properties = {key: random_schema(chance, depth=1) for key in keys}
        required = [key for key in keys if chance.random() < 0.6]
        function["parameters"] = {"type": "object", "properties": properties, "required": required}
        if "place" in keys and chance.random() < 0.5:
            properties["place"] = {"$ref": "#/$defs/place"}
            function["parameters"]["$defs"] = {"place": random_schema(chance, depth=2)}
    if chance.random() < 0.5:
        function["strict"] = True
    return {"type": "function", "function": function}


def force(family: Family, calls: int, chance: random.Random) -> Tally:
    """At least so many calls of this family, forced by `required` or by name, of strict tools and others, parallel or
    not, read whole and in random pieces."""
    tally = Tally()
    while tally.calls < calls and len(tally.wrong) < 20:
        names = chance.sample(NAMES, chance.randint(1, 3))
        tools = tuple(random_tool(chance, name) for name in names)
        named = chance.random() < 0.4
        calling = Calling(
            required=True, names=(names[0],) if named else (), parallel=not named and chance.random() < 0.5
        )
        prompt = ChatPrompt(messages=({"role": "user", "content": "x"},), tools=tools)
        request = Generate(prompt=prompt, parse_tools=True, calling=calling)
        assert family.shape is not None
        special = _tags(family.shape) if chance.random() < 0.5 else []
        words = ["<|end|>", *special]
        form = AnswerForm(
            Block("", ""), Block("", ""), family.shape, {word: END + place for place, word in enumerate(words)}
        )
        try:
            whole = matcher(form.grammar(request, "", False), trie(words))
        except BadGrammar as error:
            tally.refused += 1
            if not any(tool["function"].get("strict") for tool in tools):
                tally.wrong.append(f"refused: {error} {tools}")
            continue
        for _ in range(WALKS):
            tally.walks += 1
            said = said_by(whole.deep_copy(), words, family.shape, chance)
            if said is None:
                tally.cut += 1
            else:
                _one(family, tools, calling, said, chance, tally)
    return tally


def _one(family: Family, tools: Any, calling: Calling, said: str, chance: random.Random, tally: Tally) -> None:
    try:
        answers = [_read(family, tools, said, chance, stream=stream) for stream in (False, True)]
        for answer in answers:
            _check(answer, tools, calling)
        assert answers[0] == answers[1], "streamed calls are others"
        tally.calls += len(answers[0].calls)
    except Exception as error:
        tools_shown = json.dumps([tool["function"] for tool in tools], ensure_ascii=False)
        tally.wrong.append(f"{type(error).__name__}: {str(error)[:300]}\n  said {said!r}\n  tools {tools_shown}")


def _check(answer: Understood, tools: Any, calling: Calling) -> None:
    assert answer.calls, "no call"
    assert calling.parallel or len(answer.calls) == 1, "several calls"
    assert not answer.content.strip() and not answer.reasoning.strip(), f"text beside: {answer.content!r}"
    for name, arguments in answer.calls:
        assert not calling.names or name in calling.names, f"call of {name}"
        (function,) = (tool["function"] for tool in tools if tool["function"]["name"] == name)
        schema = function.get("parameters", {"properties": {}, "additionalProperties": False})
        Draft202012Validator(schema).validate(arguments)


def _read(family: Family, tools: Any, said: str, chance: random.Random, *, stream: bool) -> Understood:
    format = open_format(family, tools, reasoning=True, calls=True, stream_calls=stream, bound=True)
    pieces: list[Piece] = []
    while said:
        size = chance.randint(1, 9)
        pieces += format.add(said[:size])
        said = said[size:]
    return understood(pieces + format.finish())


def said_by(made: Any, special: list[str], shape: CallShape, chance: random.Random) -> str | None:
    """A random answer that the matcher lets through, None where its end is too far. `special` tokens are those behind
    the bytes."""
    said = bytearray()
    size = 256 + len(special)
    words = allocate_token_bitmask(1, size)
    markers = [each.encode() for each in _markers(shape)]
    wanted = b""
    while len(said) < LONGEST:
        if made.is_stopped():
            assert not made.is_error(), made.get_error()
            return said.decode()
        words.fill(-1)
        fill_next_token_bitmask(made, words)
        bits = np.unpackbits(words.view(np.uint8), count=size, bitorder="little")
        allowed = np.flatnonzero(bits).tolist()
        if len(allowed) == 1:
            token = allowed[0]
        else:
            token, wanted = _drawn(allowed, bits, wanted, markers, chance)
        assert made.consume_token(token), made.get_error()
        if token == END:
            return said.decode()
        said += special[token - 256].encode() if token > END else bytes([token])
    return None


def _drawn(
    allowed: list[int], bits: Any, wanted: bytes, markers: list[bytes], chance: random.Random
) -> tuple[int, bytes]:
    """The next byte, and what of a marker that was begun is still to come."""
    if not wanted and markers and chance.random() < 0.08:
        wanted = chance.choice(markers)[: chance.choice([1, 3, 100, 100])]
    if wanted and bits[wanted[0]]:
        return wanted[0], wanted[1:]
    ends = [byte for byte in _ENDS if bits[byte]] + [END] * bool(bits[END])
    if ends and chance.random() < 0.3:
        return chance.choice(ends), b""
    return chance.choice(allowed), b""


def _tags(shape: CallShape) -> list[str]:
    """Markers that vocabularies have as tokens of their own."""
    whole = "".join([*_markers(shape)])
    return list(dict.fromkeys(_TAG.findall(whole)))


def _markers(shape: CallShape) -> Iterator[str]:
    for text in (shape.begin, shape.middle, shape.end, shape.before, shape.between, shape.after, shape.quote):
        if text.strip():
            yield text
    if shape.element:
        before, _, after = shape.element.partition("{value}")
        yield from (before.replace("{key}", "city"), after, after.strip())


def talk(family: Family, answers: int, chance: random.Random) -> Tally:
    """So many random answers, with strict tools that the model may call or not: what is read as a call has to fit."""
    tally = Tally()
    assert family.shape is not None
    while tally.walks < answers:
        tools = tuple(random_tool(chance, name) for name in chance.sample(NAMES, 2))
        for tool in tools:
            tool["function"]["strict"] = True
        prompt = ChatPrompt(messages=({"role": "user", "content": "x"},), tools=tools)
        words = ["<|end|>", *(_tags(family.shape) if chance.random() < 0.5 else [])]
        special = {word: END + place for place, word in enumerate(words)}
        form = AnswerForm(Block("", ""), Block("", ""), family.shape, special, family.answer)
        try:
            whole = matcher(form.grammar(Generate(prompt=prompt, parse_tools=True), "", False), trie(words))
        except BadGrammar:
            tally.refused += 1
            continue
        for _ in range(WALKS):
            tally.walks += 1
            said = said_by(whole.deep_copy(), words, family.shape, chance)
            if said is None:
                tally.cut += 1
                continue
            for name, arguments in _read(family, tools, said, chance, stream=chance.random() < 0.5).calls:
                (function,) = (tool["function"] for tool in tools if tool["function"]["name"] == name)
                schema = function.get("parameters", {"properties": {}, "additionalProperties": False})
                faults = [error.message for error in Draft202012Validator(schema).iter_errors(arguments)]
                tally.wrong += [f"{faults}\n  said {said!r}"] if faults else []
                tally.calls += 1
    return tally
