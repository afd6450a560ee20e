"""Reasoning, tool calls and the answer, told apart in a text that comes in any pieces."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from mlx_serve.daemon.engine.output.formats.marked import MarkedFormat, Markers, parse_calls
from mlx_serve.daemon.engine.output.formats.plain import PlainFormat
from mlx_serve.daemon.engine.output.pieces import Call, Piece, Reasoning, Text

MARKERS = Markers("<think>", "</think>", "<tool_call>", "</tool_call>")
OPEN_ENDED = Markers(tool_start="[TOOL_CALLS]")
TEXTS = [
    "plain",
    "<think>\nsecond thoughts\n</think>\n\nthe answer",
    "before <think>x</think> after",
    '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
    "a <tool_call>1</tool_call>\n<tool_call>2</tool_call> b",
    "<think>a</think><tool_call>b</tool_call>c<think>d",
    "if a < b: <thin </think <tool_cal",
    "<<think>></think>>",
    "<think></think>",
    "",
]


def echo(text: str, _tools: Any) -> Any:
    """A parser that makes a call of any text."""
    return {"name": "said", "arguments": {"text": text}}


def marked(markers: Markers = MARKERS, *, reasoning: bool = True, calls: bool = True, **options: Any) -> MarkedFormat:
    return MarkedFormat(markers, echo, reasoning=reasoning, calls=calls, **options)


def said(call: Call) -> str:
    return str(json.loads(call.arguments)["text"])


def split(text: str, chunks: list[str] | None = None, markers: Markers = MARKERS, **options: Any) -> dict[str, Any]:
    """What each channel got: content and reasoning joined, tool calls one by one."""
    format = marked(markers, **options)
    pieces = [piece for chunk in chunks or [text] for piece in format.add(chunk)] + format.finish()
    result: dict[str, Any] = {"content": "", "reasoning": "", "tool": []}
    for piece in pieces:
        match piece:
            case Text():
                result["content"] += piece.text
            case Reasoning():
                result["reasoning"] += piece.text
            case Call():
                result["tool"].append(said(piece))
    return result


def test_channels_of_a_whole_text() -> None:
    """White space beside a block is layout and goes; everything else is somewhere."""
    assert split(TEXTS[1]) == {"content": "the answer", "reasoning": "second thoughts\n", "tool": []}
    assert split(TEXTS[2]) == {"content": "before after", "reasoning": "x", "tool": []}
    assert split(TEXTS[4]) == {"content": "a b", "reasoning": "", "tool": ["1", "2"]}
    assert split(TEXTS[5]) == {"content": "c", "reasoning": "ad", "tool": ["b"]}
    assert split(TEXTS[8]) == {"content": "", "reasoning": "", "tool": []}


def test_beginnings_of_markers_are_text_in_the_end() -> None:
    assert split(TEXTS[6])["content"] == TEXTS[6]
    assert split("a <th", ["a <th"])["content"] == "a <th"
    assert split("<think>x</thi")["reasoning"] == "x</thi"


@pytest.mark.parametrize("text", TEXTS)
def test_markers_cut_anywhere(text: str) -> None:
    """Character by character, and in random pieces: every channel gets what it gets of the whole text."""
    chance = random.Random(text)
    expected = split(text)
    assert split(text, list(text)) == expected
    for _ in range(100):
        chunks, rest = [], text
        while rest:
            size = chance.randint(1, 9)
            chunks.append(rest[:size])
            rest = rest[size:]
        assert split(text, chunks) == expected


@pytest.mark.parametrize("marker", ["<think>", "<tool_call>"])
def test_half_a_marker_is_never_shown(marker: str) -> None:
    """While a marker may still come, its beginning is kept back; text before it is not."""
    splitter = marked()
    assert splitter.add("abc" + marker[:-1]) == [Text("abc")]
    assert splitter.add(marker[-1]) == []


def test_reasoning_streams() -> None:
    """A thought is shown as it comes, not when it is over."""
    splitter = marked(calls=False)
    assert splitter.add("<think>one") == [Reasoning("one")]
    assert splitter.add(" two") == [Reasoning(" two")]
    assert splitter.channel == "reasoning"


def test_a_prompt_that_opened_the_thought() -> None:
    """The answer begins inside: there is an end marker only."""
    assert split("hm\n</think>\n\nyes", inside_reasoning=True) == {"content": "yes", "reasoning": "hm\n", "tool": []}
    assert split("never closed", inside_reasoning=True)["reasoning"] == "never closed"
    assert split("<b>", inside_reasoning=True, reasoning=False)["content"] == "<b>"


def test_a_tool_call_comes_whole() -> None:
    """Nothing of a call is given before it is closed, nor as content."""
    splitter = marked(reasoning=False)
    assert splitter.add('<tool_call>{"name":') == []
    assert splitter.add(' "f"}') == []
    (call,) = splitter.add("</tool_call>")
    assert isinstance(call, Call)
    assert said(call) == '{"name": "f"}'


def test_a_call_that_the_end_cuts_off() -> None:
    assert split("<tool_call>{")["tool"] == ["{"]
    assert split("<tool_call>")["tool"] == [""]
    assert split("a<tool_call></tool_call>b") == {"content": "ab", "reasoning": "", "tool": [""]}


def test_calls_without_an_end_marker() -> None:
    """The whole rest is the call."""
    assert split("x[TOOL_CALLS][1, 2]", list("x[TOOL_CALLS][1, 2]"), OPEN_ENDED) == {
        "content": "x",
        "reasoning": "",
        "tool": ["[1, 2]"],
    }


@pytest.mark.parametrize("text", TEXTS)
def test_untouched_when_nothing_is_asked(text: str) -> None:
    """Neither reasoning nor tools wanted, or a model without markers: the text goes through as it comes, at once."""
    for splitter in (marked(reasoning=False, calls=False), marked(Markers()), PlainFormat()):
        given: list[Piece] = [piece for letter in text for piece in splitter.add(letter)]
        assert given == [Text(letter) for letter in text]
        assert splitter.finish() == []


def test_tool_markup_is_text_without_tools() -> None:
    """Reasoning is split and the call's markup stays where the model wrote it."""
    text = "<think>a</think>x <tool_call>b</tool_call> y"
    assert split(text, list(text), calls=False) == {
        "content": "x <tool_call>b</tool_call> y",
        "reasoning": "a",
        "tool": [],
    }


# --- reading calls


def parse(text: str, _tools: Any) -> Any:
    return json.loads(text)


def test_one_call_and_several() -> None:
    assert parse_calls('{"name": "f", "arguments": {"x": "é"}}', parse, []) == (Call("f", '{"x": "é"}'),)
    two = '[{"name": "f", "arguments": {}}, {"name": "g", "arguments": "{\\"y\\": 1}"}]'
    assert [(call.name, call.arguments) for call in parse_calls(two, parse, [])] == [
        ("f", "{}"),
        ("g", '{"y": 1}'),
    ]
    assert parse_calls('{"name": "f"}', parse, []) == (Call("f", "{}"),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "{}",
        "7",
        "[1]",
        '{"name": 5}',
        '{"name": "f", "arguments": [1]}',
        '{"name": "f", "arguments": "x"}',
        '{"name": "f", "arguments": "[]"}',
        '[{"name": "f", "arguments": {}}, {"nom": "g"}]',
    ],
)
def test_malformed_calls_are_none(text: str) -> None:
    """Not half of them either: the whole text then belongs to the user."""
    assert parse_calls(text, parse, []) == ()


def test_whatever_a_parser_raises() -> None:
    def broken(text: str, tools: Any) -> Any:
        raise AttributeError("no such thing")

    assert parse_calls("{}", broken, []) == ()


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", ..., float("nan"), float("inf"), "\ud83d", {"a": [object()]}])
def test_values_that_json_cannot_hold(value: Any) -> None:
    """A parser of Python's notation gives such values; the call is then text, and nothing is raised."""
    assert parse_calls("x", lambda *_: {"name": "f", "arguments": {"x": value}}, []) == ()
    assert parse_calls("x", lambda *_: {"name": "f\ud83d", "arguments": {}}, []) == ()


def test_a_call_that_cannot_be_read_is_text_as_it_was_written() -> None:
    format = MarkedFormat(MARKERS, parse, reasoning=True, calls=True)
    assert format.add("<tool_call>{broken</tool_call>") == [Text("<tool_call>{broken</tool_call>")]
    assert format.add("<tool_call>{cut") + format.finish() == [Text("<tool_call>{cut")]


def test_a_long_call_is_looked_at_once() -> None:
    """However many pieces a call comes in, only the newest one is searched for the marker that closes it."""
    format = marked()
    format.add("<tool_call>")
    for _ in range(1000):
        format.add("0123456789")
        assert len(format._held) < len("</tool_call>")
    (call,) = format.add("</tool_call>")
    assert isinstance(call, Call)
    assert said(call) == "0123456789" * 1000
