"""Calls that are forced, or kept to their tools' schemas where the model makes some: in each notation there is."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from support.byte_vocabulary import CLOSE, END, OPEN, SPECIAL, TRIE, matcher, matches, walk

from mlx_serve.daemon.engine.grammar.answer_form import AnswerForm, Unforced
from mlx_serve.daemon.engine.grammar.call_shape import HERMES, QWEN_CODER, CallShape
from mlx_serve.daemon.engine.grammar.literals import BadGrammar, Block
from mlx_serve.daemon.protocol import Calling, ChatPrompt, Generate, Grammar

LLAMA = CallShape('{"name": "', '", "parameters": ', "}", between="; ")
NEMO = CallShape('{"name": "', '", "arguments": ', "}", before="<think>[", between=", ", after="]")
"""As Mistral's, whose opener is a special token; here one of the three that there are stands for it."""
WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1},
        "unit": {"enum": ["c", "f"]},
    },
    "required": ["city"],
}


def tool(name: str, parameters: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    function = {"name": name} | ({} if parameters is None else {"parameters": parameters}) | more
    return {"type": "function", "function": function}


TOOLS = (tool("weather", WEATHER), tool("stop"))


def request(tools: tuple[Any, ...] = TOOLS, grammar: Grammar | None = None, **calling: Any) -> Generate:
    prompt = ChatPrompt(messages=({"role": "user", "content": "x"},), tools=tools)
    return Generate(prompt=prompt, parse_tools=True, calling=Calling(**calling), grammar=grammar)


def form(shape: CallShape | None = HERMES, thinking: Block = Block("", "")) -> AnswerForm:  # noqa: B008
    return AnswerForm(thinking, Block("<tool_call>", "</tool_call>"), shape, SPECIAL)


def text(asked: Generate, shape: CallShape | None = HERMES, **options: Any) -> str:
    made = form(shape, **options)
    assert made.binds(asked)
    return made.grammar(asked, "", False)


def hermes(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


ROME = hermes("weather", '{"city": "Rome"}')


def test_a_call_is_forced() -> None:
    """At least one of an offered tool, with arguments that fit; no text."""
    forced = text(request(required=True))
    assert matches(forced, ROME)
    assert matches(forced, hermes("weather", '{"city": "Ro\\nme", "days": 3, "unit": "f"}'))
    assert matches(forced, ROME + "\n" + hermes("stop", "{}"))
    for wrong in (
        "",
        "Hello",
        "Hello " + ROME,
        hermes("other", "{}"),
        hermes("weather", "{}"),
        hermes("weather", '{"city": 3}'),
        hermes("weather", '{"city": "x", "days": 0}'),
        hermes("weather", '{"city": "x", "more": 1}'),
        hermes("stop", '{"a": 1}'),
        ROME[:-1],
    ):
        assert not matches(forced, wrong), wrong


def test_one_call_of_one_tool() -> None:
    """`names` and `parallel`."""
    named = text(request(required=True, names=("stop",), parallel=False))
    assert matches(named, hermes("stop", "{}"))
    assert not matches(named, ROME)
    assert not matches(named, hermes("stop", "{}") + "\n" + hermes("stop", "{}"))
    made = matcher(named)
    assert made.consume_tokens([*hermes("stop", "{}").encode()]) and made.is_stopped()


def test_thoughts_come_before_a_forced_call() -> None:
    forced = text(request(required=True), thinking=Block("<think>", "</think>"))
    assert matches(forced, ROME)
    assert matches(forced, OPEN, "<tool_call> hm", CLOSE, "\n\n", ROME)
    assert not matches(forced, OPEN, "hm", CLOSE, "\n\nHello")


def test_free_text_and_calls_that_fit() -> None:
    """A strict tool among those that the model may call: what it says is free, what it calls is not."""
    strict = (tool("weather", WEATHER, strict=True), tool("stop"))
    assert not form().binds(request())
    free = text(request(strict))
    assert matches(free, "") and matches(free, "Hello, {<tool") and matches(free, ROME)
    assert matches(free, "Let me look.\n" + ROME + " and " + hermes("stop", "{}") + " Done.")
    assert not matches(free, "So: " + hermes("weather", "{}"))
    assert not matches(free, '<tool_call>{"name": "weather"')
    one = text(request(parallel=False))
    assert matches(one, "Hello") and matches(one, "So: " + ROME)
    assert not matches(one, ROME + " and " + ROME)
    some = text(request(names=("stop",)))
    assert matches(some, hermes("stop", "{}")) and not matches(some, ROME)


def test_an_answer_or_a_call() -> None:
    """With a shape for the answer too."""
    both = text(request(grammar=Grammar(type="choice", source='["yes"]')))
    assert matches(both, "yes") and matches(both, ROME)
    assert not matches(both, "yes" + ROME) and not matches(both, hermes("weather", "{}"))


def test_bare_objects() -> None:
    """A notation whose calls nothing sets apart from other text is forced, but not looked for in text."""
    forced = text(request(required=True), LLAMA)
    assert matches(forced, '{"name": "weather", "parameters": {"city": "Rome"}}; {"name": "stop", "parameters": {}}')
    assert LLAMA.trigger == "" and not form(LLAMA).binds(request(parallel=False))


def test_special_tokens_around_calls() -> None:
    """A marker that is a special token is that token, and not its letters."""
    forced = text(request(required=True), NEMO)
    call = '[{"name": "stop", "arguments": {}}, {"name": "weather", "arguments": {"city": "x"}}]'
    assert matches(forced, OPEN, call)
    assert not matches(forced, "<think>" + call)
    free = text(request((tool("stop", strict=True),)), NEMO)
    assert matches(free, "Hello ", OPEN, '[{"name": "stop", "arguments": {}}]', " bye")
    assert not matches(free, "Hello ", OPEN, '[{"name": "go"')


def element(**members: str) -> str:
    return "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in members.items())


def coder(name: str, arguments: str) -> str:
    return f"<tool_call>\n<function={name}>\n{arguments}</function>\n</tool_call>"


def test_elements_instead_of_json() -> None:
    """Texts stand in them as they are, all else as JSON; members in the schema's order."""
    forced = text(request(required=True), QWEN_CODER)
    assert matches(forced, coder("weather", element(city='Ro"me\n<b>', days="3", unit="f")))
    assert matches(forced, coder("weather", element(city="")) + "\n" + coder("stop", ""))
    for wrong in (element(), element(city="x", days="many"), element(days="3"), element(city="x", unit="k")):
        assert not matches(forced, coder("weather", wrong)), wrong


DEEP: dict[str, Any] = {
    "type": "object",
    "properties": {
        "where": {"$ref": "#/$defs/place"},
        "tags": {"type": "array", "items": {"enum": ["a", 2, True, None]}},
        "how": {"anyOf": [{"type": "boolean"}, {"type": "null"}, {"type": "number"}]},
        "free": {},
        "map": {"type": "object"},
    },
    "required": ["tags"],
    "$defs": {
        "place": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "in": {"$ref": "#/$defs/place"}},
            "required": ["city"],
        }
    },
}
LLAMA4 = CallShape("", "(", ")", before="[", between=", ", after="]", arguments="python")
GEMMA = CallShape("<|tool_call>call:", "", "<tool_call|>", arguments="gemma", quote='<|"|>')


def test_python_calls() -> None:
    """Keyword arguments with Python's literals, in the schema's order."""
    forced = text(request((*TOOLS, tool("deep", DEEP)), required=True), LLAMA4)
    for call in (
        'weather(city="Ro\\"me\\n", days=3, unit="f")',
        'weather(city="x", unit="c"), stop()',
        'deep(where={"city": "x", "in": {"city": ""}}, tags=["a", 2, True, None], how=-1.5, free=True, map={"k": 1})',
        "deep(tags=[])",
        "deep(tags=[], how=None, free='x')".replace("'", '"'),
    ):
        assert matches(forced, f"[{call}]"), call
    for call in (
        'weather(city="x" days=3)',
        "weather()",
        'weather(days=3, city="x")',
        'weather(city="x", days=true)',
        "weather(city=x)",
        "deep(how=None)",
        'deep(tags=["b"])',
        'deep(where={"in": {"city": "x"}}, tags=[])',
        "other()",
    ):
        assert not matches(forced, f"[{call}]"), call


def test_gemmas_calls() -> None:
    """Bare keys, and texts between a marker, in which anything stands."""
    forced = text(request((*TOOLS, tool("deep", DEEP)), required=True), GEMMA)

    def gemma(*calls: str) -> str:
        return "".join(f"<|tool_call>call:{call}<tool_call|>" for call in calls)

    for calls in (
        ['weather{city:<|"|>Ro"me\n{<|"|>,days:3,unit:<|"|>f<|"|>}'],
        ["stop{}", 'weather{city:<|"|><|"|>}'],
        ['deep{where:{city:<|"|>x<|"|>},tags:[<|"|>a<|"|>,2,true,null],how:false}'],
    ):
        assert matches(forced, gemma(*calls)), calls
    for call in ('weather{city:"x"}', "weather{}", "stop{a:1}", 'deep{tags:[<|"|>b<|"|>]}'):
        assert not matches(forced, gemma(call)), call


def test_schemas_that_cannot_be_kept() -> None:
    """Of a strict tool: an error that names it. Of another: what can be kept of it is; if nothing can, any object."""
    odd = {"type": "object", "properties": {"a": {"type": "integer", "not": {"const": 1}}}, "required": ["a"]}
    hopeless = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1/x"}}}
    with pytest.raises(BadGrammar, match="cannot be kept") as caught:
        text(request((tool("stop"), tool("odd", odd, strict=True)), required=True))
    assert caught.value.param == "tools[1].function.parameters"
    loose = text(request((tool("odd", odd), tool("hopeless", hopeless)), required=True))
    assert matches(loose, hermes("odd", '{"a": 1}')) and not matches(loose, hermes("odd", '{"a": "x"}'))
    assert matches(loose, hermes("hopeless", '{"x": [1]}'))


def test_a_notation_that_is_not_known() -> None:
    """Nothing is forced; with a shape for the answer, whatever stands between the markers is a call."""
    with pytest.raises(Unforced):
        form(None).binds(request(required=True))
    assert not form(None).binds(request((tool("stop", strict=True),)))
    both = text(request(grammar=Grammar(type="choice", source='["yes"]')), None)
    assert matches(both, "yes") and matches(both, "<tool_call>anything</tool_call>")


@pytest.mark.parametrize("shape", [HERMES, LLAMA], ids=["hermes", "llama"])
def test_a_thousand_forced_calls(shape: CallShape) -> None:
    """Random allowed bytes: whatever ends is one call, of an offered tool, with arguments of its schema."""
    chance = random.Random(8)
    made = matcher(text(request(required=True, parallel=False), shape))
    start, ended = len(shape.begin), 0
    for _ in range(1000):
        drawn = walk(made.deep_copy(), TRIE.vocab_size, chance, 300)
        if drawn is None:
            continue
        said = bytes(token for token in drawn if token != END).decode()
        call = json.loads(said[said.index("{") : said.rindex("}") + 1])
        arguments = call.get("arguments", call.get("parameters"))
        assert said.startswith(shape.begin) and said[start:].startswith(call["name"])
        assert (call["name"], arguments) == ("stop", {}) or set(arguments) <= {"city", "days", "unit"}
        ended += 1
    assert ended > 400
