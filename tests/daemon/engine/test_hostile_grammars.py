"""Schemas and expressions that are made to hurt, against a child as the daemon has it: each fails alone, in time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.engine_client import Engine, Sequence

from mlx_serve.daemon.protocol import Grammar, Sampling, TextPrompt


@pytest.fixture(scope="module")
def engine(checkpoint: Callable[[str], Path]) -> Iterator[Engine]:
    with Engine() as child:
        child.load(checkpoint("llama"), max_batch=4)
        yield child


@pytest.fixture(autouse=True)
def others_go_on(engine: Engine) -> Iterator[None]:
    """The child and its prompt process are the same before and after, and nothing waits."""
    hello(engine)
    before = psutil.Process(engine.process.pid).children()
    yield
    hello(engine)
    assert psutil.Process(engine.process.pid).children() == before
    assert engine.ping().gauges.waiting == 0


def hello(engine: Engine) -> None:
    sequence = engine.generate(TextPrompt(text="hello"), max_tokens=2, sampling=Sampling(temperature=0.0))
    engine.finish([sequence])
    assert sequence.finished is not None, sequence.rejected


def bound(engine: Engine, grammar: Grammar, **options: Any) -> Sequence:
    given: dict[str, Any] = {"max_tokens": 40, "sampling": Sampling(temperature=2.0, seed=1)} | options
    return engine.generate(TextPrompt(text="x"), grammar=grammar, **given)


def schema(value: Any) -> Grammar:
    return Grammar(type="json_schema", source=value if isinstance(value, str) else json.dumps(value), param="format")


def nested(levels: int) -> str:
    return '{"type":"array","items":' * levels + '{"type":"string"}' + "}" * levels


REFUSED = {
    "sixty patterns at once": schema({"allOf": [{"type": "string", "pattern": f"a{{{n}}}"} for n in range(1, 60)]}),
    "ten thousand levels": schema(nested(10_000)),
    "a circle with more in it": schema({"allOf": [{"$ref": "#"}, {"type": "string"}]}),
    "somewhere else": schema({"$ref": "http://127.0.0.1:1/x.json"}),
    "a file": schema({"$ref": "file:///etc/passwd"}),
    "an exploding choice": schema(
        {
            "allOf": [
                {"anyOf": [{"type": "object", "properties": {f"p{j}": {"const": k}}} for k in range(6)]}
                for j in range(9)
            ]
        }
    ),
    "no expression": Grammar(type="regex", source="([", param="format"),
    "three thousand brackets": Grammar(type="regex", source="(" * 3000 + "a" + ")" * 3000, param="format"),
    "brackets of a grammar": Grammar(type="lark", source="start: " + "(" * 5000 + '"a"' + ")" * 5000, param="format"),
    "not JSON": schema("{"),
}
EITHER = {
    "a million by repetition": Grammar(type="regex", source="(a{1000}){1000}", param="format"),
    "repetition in repetition": Grammar(type="regex", source="((a|b){1,100}){1,100}", param="format"),
    "backtracking, elsewhere": Grammar(type="regex", source="(x+x+)+y", param="format"),
    "many states": Grammar(type="regex", source="(.*a){30}.{100}", param="format"),
    "a long tail": schema({"type": "string", "pattern": ".*a.{200}"}),
    "many names": schema({"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(1000)}}),
    "twenty thousand constants": schema({"enum": [f"x{n}" for n in range(20_000)]}),
    "a million characters": schema({"type": "string", "minLength": 10**6}),
    "a million items": schema({"type": "array", "items": {"type": "string"}, "minItems": 10**6}),
    "a circle": schema({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
    "itself": schema({"$ref": "#"}),
    "a choice of itself": schema({"anyOf": [{"$ref": "#"}, {"type": "string"}]}),
    "a tree of references": schema(
        {
            "$ref": "#/$defs/d0",
            "$defs": {"d60": {"type": "string"}}
            | {
                f"d{n}": {"type": "object", "properties": {name: {"$ref": f"#/$defs/d{n + 1}"} for name in "ab"}}
                for n in range(60)
            },
        }
    ),
    "an ambiguous grammar": Grammar(type="lark", source='start: a\na: a a | "x" | "y" | ""', param="format"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_compiled_is_refused_by_name(engine: Engine, name: str) -> None:
    """With a reason in one line, and while others are answered."""
    request = bound(engine, REFUSED[name])
    while not request.done:
        hello(engine)
    assert request.rejected is not None
    assert (request.rejected.code, request.rejected.param) == ("invalid_request", "format")
    assert request.rejected.message.startswith("invalid value for 'format': ")
    assert "\n" not in request.rejected.message and len(request.rejected.message) < 400


@pytest.mark.parametrize("name", EITHER)
def test_what_compiles_in_time_is_followed(engine: Engine, name: str) -> None:
    """Or refused, at the beginning or in the middle, when it grows beyond the bounds: others are answered meanwhile."""
    request = bound(engine, EITHER[name])
    while not request.done:
        hello(engine)
    if request.rejected is not None:
        assert (request.rejected.code, request.rejected.param) == ("invalid_request", "format")


def test_cancelled_while_it_is_compiled(engine: Engine) -> None:
    """The worker is ended, and nothing of it is heard again."""
    slow = bound(engine, REFUSED["sixty patterns at once"])
    hello(engine)
    engine.cancel(slow)
    hello(engine)
    assert engine.ping().gauges.waiting == 0
    assert not slow.done


def test_the_same_schema_many_times(engine: Engine) -> None:
    """Four at once, in a batch of four: all follow it."""
    grammar = schema({"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]})
    requests = [
        bound(engine, grammar, sampling=Sampling(temperature=2.0, seed=seed), max_tokens=100) for seed in range(12)
    ]
    engine.finish(requests)
    for each in requests:
        assert each.finished is not None, each.rejected
        assert each.finished.reason == "stop"
        assert isinstance(json.loads(each.text)["a"], bool)
