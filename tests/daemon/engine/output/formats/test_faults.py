"""What models get wrong, and what may be made of it: one reading is taken, several are none, and nothing is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.spoken_calls import TEMPLATES, TOOLS, followed, read, understood, written

from mlx_serve.daemon.engine.output.formats.family import Family
from mlx_serve.daemon.engine.output.formats.table import find_family, open_format
from mlx_serve.daemon.engine.output.pieces import Call

ROME = [("weather", {"city": "Rome"})]


def family(name: str) -> Family:
    return find_family(TEMPLATES[name])


def check(name: str, text: str, calls: list[Any], content: str = "", **options: Any) -> None:
    """Whole, letter by letter, and streamed: the same calls and the same text."""
    for chunks in (text, list(text)):
        for stream in (False, True):
            result = read(family(name), chunks, stream=stream, **options)
            assert (result.calls, result.content) == (calls, content), (stream, text)


# --- values that JSON cannot hold


@pytest.mark.parametrize(
    "value", ["{1, 2}", "b'x'", "...", "NaN", "Infinity", "-inf", "1e999", "object()", "1_0", "(1, 2)"]
)
@pytest.mark.parametrize("name", ["hermes", "mistral", "lfm2", "llama4", "kimi-k2", "gemma4", "deepseek"])
def test_a_value_that_json_cannot_hold_leaves_the_call_text(name: str, value: str) -> None:
    shape = family(name).shape
    assert shape is not None
    text = written(shape, [("weather", {"city": 707})]).replace("707", value)
    for chunks in (text, list(text)):
        result = read(family(name), chunks)
        assert (result.calls, result.content.strip()) == ([], text.strip())
        assert len(read(family(name), chunks, stream=True).calls) <= 1


def test_half_a_character_is_kept_as_its_escape() -> None:
    """Every JSON reader can read it."""
    text = r'<tool_call>{"name": "weather", "arguments": {"city": "\ud83d! \ud83d\ude00"}}</tool_call>'
    check("hermes", text, [("weather", {"city": "\\ud83d! 😀"})])


# --- Mistral


def test_mistrals_ids_are_no_names() -> None:
    call = "[TOOL_CALLS]weather[CALL_ID]a1B2c3D4e[ARGS]"
    check("mistral", call + '{"city": "Rome"}', ROME)
    check("mistral", call + '{"city": "Rome"}' + call + '{"city": "Rome"}', ROME * 2)
    check("mistral", '[TOOL_CALLS]weather{"city": "Rome"}', ROME)
    check("mistral-nemo", '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Rome"}, "id": "a1B2c3D4e"}]', ROME)


# --- a closing marker inside a value

CLOSERS = {
    "hermes": "</tool_call>",
    "qwen-xml": "</tool_call></function>",
    "glm": "</tool_call>",
    "kimi-k2": "<|tool_call_end|><|tool_calls_section_end|>",
    "minimax": "</minimax:tool_call></invoke>",
    "deepseek": "<｜tool▁call▁end｜>",
    "deepseek-dsml": "</｜DSML｜invoke>",
    "mistral": "[TOOL_CALLS]x[ARGS]{}",
    "command-r7b": "<|END_ACTION|>",
    "gemma4": "<tool_call|>}",
    "lfm2": ")]<|tool_call_end|>",
    "harmony": "<|call|><|end|>",
    "phi4-mini": "<|/tool_call|>",
    "seed-oss": "</function></seed:tool_call>",
    "functionary-3.1": "</function>",
    "apertus": "<|tools_suffix|>",
    "granite": "<|tool_call|>[",
}


@pytest.mark.parametrize("name", CLOSERS)
def test_a_closing_marker_inside_a_value_is_part_of_it(name: str) -> None:
    shape = family(name).shape
    assert shape is not None
    calls = [("write_file", {"path": "x", "text": f"a {CLOSERS[name]} b\n  {CLOSERS[name]}"}), *ROME]
    check(name, written(shape, calls), calls)


# --- several calls in one block


def test_every_call_of_a_block_counts() -> None:
    one = '{"name": "weather", "arguments": {"city": "Rome"}}'
    for inner in (f"{one}\n{one}", f"[{one}, {one}]", f"{one},{one}", f"\n[{one},\n{one}]\n", f"{one}{one}"):
        check("hermes", f"<tool_call>{inner}</tool_call>", ROME * 2)
    function = "<function=weather>\n<parameter=city>\nRome\n</parameter>\n</function>"
    check("qwen-xml", f"<tool_call>\n{function}\n{function}\n</tool_call>", ROME * 2)
    check("llama3", f"{one}; {one}", ROME * 2)


# --- names of the parts


@pytest.mark.parametrize("key", ["arguments", "parameters", "args", "input"])
@pytest.mark.parametrize("name", ["hermes", "mistral-nemo", "granite", "command-r7b", "llama3"])
def test_arguments_by_another_name(name: str, key: str) -> None:
    shape = family(name).shape
    assert shape is not None
    text = written(shape, ROME)
    for own in ("arguments", "parameters"):
        text = text.replace(f'"{own}"', f'"{key}"')
    check(name, text, ROME)


def test_a_member_beside_those_of_a_call() -> None:
    """Wherever the text is cut."""
    text = '{"name": "weather", "arguments": {"city": "Rome"}, "why": "asked"}'
    check("hermes", f"<tool_call>{text}</tool_call>", ROME)
    text = '{"name": "weather", "why": "asked", "arguments": {"city": "Rome"}}'
    check("hermes", f"<tool_call>{text}</tool_call>", ROME)


def test_openais_own_form_of_a_call() -> None:
    text = '{"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}'
    check("hermes", f"<tool_call>{text}</tool_call>", ROME)
    text = '{"arguments": {"city": "Rome"}, "name": "weather"}'
    check("hermes", f"<tool_call>{text}</tool_call>", ROME)


# --- strings


def test_white_space_of_a_value_is_kept() -> None:
    """Of a value on lines of its own only the line feeds around it are layout."""
    text = "\n    if x:\n        y = 1\n\n"
    calls = [("write_file", {"path": " p ", "text": text})]
    for name in ("qwen-xml", "glm", "minimax", "seed-oss", "deepseek-dsml", "hermes", "gemma4"):
        shape = family(name).shape
        assert shape is not None
        check(name, written(shape, calls), calls)


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ('{"city": "Ro\nme"}', {"city": "Ro\nme"}),
        ('{"city": "\\d+ \\."}', {"city": "\\d+ \\."}),
        ("{'city': 'Rome'}", {"city": "Rome"}),
        ('{"city": "Rome",}', {"city": "Rome"}),
        ('{"city": "Rome", "places": ["a", "b",],}', {"city": "Rome", "places": ["a", "b"]}),
        ('{"city": "the "eternal" city"}', {"city": 'the "eternal" city'}),
        ("{city: 'Rome', exact: True}", {"city": "Rome", "exact": True}),
        ('"{\\"city\\": \\"Rome\\"}"', {"city": "Rome"}),
        ('""', {}),
        ("null", {}),
        ("None", {}),
        ("[]", {}),
        ("{}", {}),
        ('{"days": "3", "exact": "true", "share": "0.5"}', {"days": 3, "exact": True, "share": 0.5}),
    ],
)
@pytest.mark.parametrize(
    "name", ["hermes", "mistral", "kimi-k2", "deepseek", "harmony", "command-r7b", "functionary-3.1"]
)
def test_nearly_json_with_one_reading(name: str, arguments: str, value: dict[str, Any]) -> None:
    shape = family(name).shape
    assert shape is not None
    text = written(shape, [("weather", {"city": "@"})]).replace('{"city": "@"}', arguments)
    check(name, text, [("weather", value)])


@pytest.mark.parametrize("missing", ["}", "}}", "}}</tool_call>", "}\n</tool_call>", "</tool_call>"])
def test_missing_braces_and_markers(missing: str) -> None:
    text = '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>'
    if missing.endswith("</tool_call>"):
        check("hermes", text.removesuffix(missing.replace("\n", "")), ROME)
    else:
        check("hermes", text.replace("}}", "}}".removesuffix(missing)), ROME)


def test_braces_too_many() -> None:
    check("hermes", '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}}}</tool_call>', ROME)


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "no json",
        "{}",
        "7",
        "[1]",
        '{"name": 5}',
        '{"name": "weather", "arguments": [1]}',
        '{"name": "weather", "arguments": "Rome"}',
        '{"name": "weather", "arguments": 5}',
        '{"nom": "weather"}',
        '{"name": "weather", "argument": {"city": "Rome"}}',
        '{"name": "weather", "city": "Rome"}',
        '{"thought": "hm", "name": "weather", "arguments": {"city": "Rome"}}',
        '{"name": "other", "arguments": {}}',
        '[{"name": "weather", "arguments": {}}, {"nom": "time"}]',
        '{"name": "weather", "arguments": {"city": "Ro',
        '{"name": "weather", "arguments": {"city": Rome}}',
        '{"name": "weather", "arguments": {"city": "a" + "b"}}',
    ],
)
def test_what_has_no_reading_is_text(inner: str) -> None:
    """As it was written; not half of it either."""
    text = f"See: <tool_call>{inner}</tool_call>"
    for chunks in (text, list(text)):
        result = read(family("hermes"), chunks)
        assert (result.calls, result.content) == ([], text)


def test_a_part_of_a_call_that_is_out_is_closed_and_the_rest_is_text() -> None:
    """Argument by argument nothing can be taken back: the part is JSON, and the whole text is there too."""
    text = '<tool_call>{"name": "weather", "arguments": {"city": "Rome", "days": NaN}}</tool_call>'
    result = read(family("hermes"), list(text), stream=True)
    assert (result.calls, result.content) == (ROME, text)


def test_qwens_calls_without_their_outer_marker() -> None:
    text = "<function=weather>\n<parameter=city>\nRome\n</parameter>\n</function>"
    check("qwen-xml", text, ROME)
    check("qwen-xml", text + "\n</tool_call>", ROME)


def test_a_parameter_without_its_closing_marker() -> None:
    text = "<tool_call>\n<function=weather>\n<parameter=city>\nRome\n</function>\n</tool_call>"
    check("qwen-xml", text, ROME)


def test_a_notation_of_another_family() -> None:
    """Models that were trained on two mix them."""
    check("qwen-xml", '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>', ROME)
    check("hermes", "<tool_call><function=weather><parameter=city>Rome</parameter></function></tool_call>", ROME)
    check("glm", '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>', ROME)


# --- thoughts


def test_a_lone_closing_marker() -> None:
    """Where nothing was said it is layout; in the middle of an answer it is text."""
    assert read(family("hermes"), "</think>\n\nYes.").content == "Yes."
    assert read(family("hermes"), "\n</think>Yes.").content == "Yes."
    assert read(family("hermes"), "The </think> tag.").content == "The </think> tag."


def test_thoughts_are_text_where_they_are_not_split_off() -> None:
    assert read(family("hermes"), "<think>a</think>b", reasoning=False, calls=False).content == "<think>a</think>b"


def test_harmonys_channels_are_not_glued_together() -> None:
    text = (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|>"
        "<|start|>assistant<|channel|>commentary to=functions.weather <|constrain|>json<|message|>"
        '{"city": "Rome"}<|call|>'
    )
    result = read(family("harmony"), list(text))
    assert (result.reasoning, result.content, result.calls) == ("Hm.", "I look.", ROME)
    text = "<|channel|>commentary<|message|>One.<|end|><|start|>assistant<|channel|>final<|message|>Two.<|return|>"
    assert read(family("harmony"), list(text)).content == "One.\n\nTwo."
    older = ' to=functions.weather<|channel|>commentary json<|message|>{"city": "Rome"}'
    assert read(family("harmony"), list(older)).calls == ROME
    odd = "<|channel|>dreams<|message|>Sheep.<|end|>"
    assert read(family("harmony"), list(odd)).content == odd


# --- time and memory


@pytest.mark.parametrize("name", ["hermes", "qwen-xml", "kimi-k2", "gemma4", "lfm2", "harmony", "deepseek-dsml"])
def test_a_long_call_is_read_once(name: str) -> None:
    """A call of tens of thousands of tokens: the work for each further piece does not grow with what came before."""
    shape = family(name).shape
    assert shape is not None
    text = "def f():\n    return 'x' < 3 \\d\n" * 4000
    calls = [("write_file", {"path": "x", "text": text})]
    whole = written(shape, calls)
    result = read(family(name), [whole[at : at + 4] for at in range(0, len(whole), 4)])
    assert result.calls == calls


@pytest.mark.parametrize(
    "filler", ["<tool_call>", '<tool_call>{"name": "weather", "arguments": {"city": "', "<tool_call>{"]
)
def test_openers_without_end_take_linear_time(filler: str) -> None:
    """Each could begin a call that goes on to the end of the text: only so many are tried."""
    text = filler * 2000
    result = understood(followed(open_format(family("hermes"), TOOLS, reasoning=True, calls=True), [text]))
    assert (result.content, result.calls) == (text, [])


def test_arguments_are_compact_json_with_their_letters() -> None:
    text = '<tool_call>{"name": "weather", "arguments": {"city": "Århus 北京"}}</tool_call>'
    (call,) = followed(open_format(family("hermes"), TOOLS, reasoning=True, calls=True), [text])
    assert isinstance(call, Call)
    assert call.arguments == '{"city": "Århus 北京"}' and json.loads(call.arguments)
