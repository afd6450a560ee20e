"""One sequence from drawn tokens to what a user sees: text, reasoning, calls, and why it ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from reference.architectures import END_OF_TURN

from mlx_serve.daemon.engine.generate.sampling.draw import Draw
from mlx_serve.daemon.engine.generate.sequence import Sequence
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.output.formats.table import find_family
from mlx_serve.daemon.engine.prompt.prepared import Prepared
from mlx_serve.daemon.protocol import ChatPrompt, Delta, Generate, TextPrompt, TokenLogprob, TokenPrompt

START = END_OF_TURN - 1
FAMILY = find_family("<think> <tool_call>")
TOOLS = ({"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}}}},)


@pytest.fixture
def model(llama: LanguageModel) -> LanguageModel:
    return replace(llama, family=FAMILY)


class Told:
    """A sequence that is told an answer, token by token, and everything that it shows."""

    def __init__(self, model: LanguageModel, *, room: int = 1000, inside: bool = False, **options: Any) -> None:
        prompt = ChatPrompt(messages=(), tools=TOOLS) if options.get("parse_tools") else TokenPrompt(ids=(1, 2))
        request = Generate(**({"prompt": prompt} | options))
        self.model = model
        self.sequence = Sequence(1, 0, Prepared(request, [1, 2], room, False, inside, ""), Draw(), model)
        self.deltas: list[Delta] = []

    def say(self, text: str) -> Told:
        return self.tokens(self.model.tokenizer(text)["input_ids"])

    def end(self) -> Told:
        return self.tokens([END_OF_TURN])

    def tokens(self, tokens: Iterable[int]) -> Told:
        for token in tokens:
            if self.sequence.reason is not None:
                break
            if (delta := self.sequence.accept(token, None)) is not None:
                self.deltas.append(delta)
        return self

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def reasoning(self) -> str:
        return "".join(delta.reasoning for delta in self.deltas)

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [(call.name, call.arguments) for delta in self.deltas for call in delta.tool_calls]


def test_the_stop_token_is_neither_text_nor_counted(model: LanguageModel) -> None:
    told = Told(model, want_context=True).say("hello").end()
    finished = told.sequence.finished(last=True)
    assert (told.text, finished.reason, finished.completion_tokens) == ("hello", "stop", told.sequence.generated)
    assert END_OF_TURN not in (finished.context or ())
    assert finished.context is not None
    assert finished.context[2:] == tuple(model.tokenizer("hello")["input_ids"])


def test_ignore_eos_goes_on(model: LanguageModel) -> None:
    told = Told(model, ignore_eos=True, room=4).tokens([END_OF_TURN] * 4)
    assert told.sequence.finished(last=True).completion_tokens == 4
    assert told.sequence.reason == "length"


def test_the_last_token_that_there_is_room_for(model: LanguageModel) -> None:
    told = Told(model, room=3).tokens(b"abcd")
    assert told.sequence.finished(last=True).reason == "length"
    assert told.sequence.finished(last=True).completion_tokens == 3
    assert len(told.text) == 3


def test_deltas_count_tokens(model: LanguageModel) -> None:
    told = Told(model).say("some text").end()
    assert [delta.tokens for delta in told.deltas] == list(range(1, len(told.deltas) + 1))


def test_a_stop_string_ends_at_once_and_is_named(model: LanguageModel) -> None:
    told = Told(model, stop=("STOP", "zz")).say("go on STOP here").end()
    finished = told.sequence.finished(last=True)
    assert told.text == "go on "
    assert (finished.reason, finished.stop_sequence) == ("stop", "STOP")
    assert finished.completion_tokens == len(model.tokenizer("go on STOP")["input_ids"])


def test_what_a_stop_string_kept_back_comes_at_the_end(model: LanguageModel) -> None:
    """With the stop token, and with the last token that there is room for."""
    assert Told(model, stop=("STOP",)).say("go ST").end().text == "go ST"
    told = Told(model, stop=("STOP",), room=5).say("go ST")
    assert told.text == "go ST"
    assert told.sequence.finished(last=True).stop_sequence is None


def test_half_a_character_at_the_end(model: LanguageModel) -> None:
    """A character that is cut off by the limit shows as a replacement, not as nothing."""
    assert Told(model, room=1).tokens([0xE6]).text == "\ufffd"


def test_reasoning_is_told_apart_and_counted(model: LanguageModel) -> None:
    told = Told(model).say("<think>let me see</think>\n\nyes").end()
    assert (told.reasoning, told.text) == ("let me see", "yes")
    finished = told.sequence.finished(last=True)
    assert 0 < finished.reasoning_tokens < finished.completion_tokens


def test_reasoning_that_the_prompt_opened(model: LanguageModel) -> None:
    told = Told(model, inside=True).say("hm</think>yes").end()
    assert (told.reasoning, told.text) == ("hm", "yes")


def test_reasoning_is_left_in_the_text_on_demand(model: LanguageModel) -> None:
    assert Told(model, split_reasoning=False).say("<think>a</think>b").end().text == "<think>a</think>b"


def test_stop_strings_do_not_count_in_reasoning(model: LanguageModel) -> None:
    told = Told(model, stop=("x",)).say("<think>x</think>yxz").end()
    assert (told.reasoning, told.text, told.sequence.reason) == ("x", "y", "stop")


def test_a_call_comes_whole_and_names_the_reason(model: LanguageModel) -> None:
    told = Told(model, parse_tools=True).say('ok <tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>').end()
    assert (told.text, told.calls) == ("ok ", [("f", '{"a": 1}')])
    assert told.sequence.finished(last=True).reason == "tool_calls"


def test_a_call_without_tools_is_text(model: LanguageModel) -> None:
    text = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    told = Told(model).say(text).end()
    assert (told.text, told.calls, told.sequence.finished(last=True).reason) == (text, [], "stop")


@pytest.mark.parametrize(
    "text",
    ["<tool_call>{broken</tool_call>", '<tool_call>{"nom": 1}</tool_call>', "<tool_call>", '<tool_call>{"name": "f'],
)
def test_a_malformed_call_is_given_to_the_user(model: LanguageModel, text: str) -> None:
    """Closed or cut off: as the model wrote it, and it is no tool call."""
    told = Told(model, parse_tools=True).say("see: " + text).end()
    assert (told.text, told.calls, told.sequence.finished(last=True).reason) == ("see: " + text, [], "stop")


def test_a_special_token_that_nobody_knows_is_text(model: LanguageModel) -> None:
    """So that what a model says in channels of its own is not glued together; inside a call it is part of a value."""
    told = Told(model).say("analysis").tokens([START]).say("final").end()
    assert told.text == "analysis<|im_start|>final"
    told = Told(model, parse_tools=True).say('<tool_call>{"name": "f", "arguments": {"b": "')
    told.tokens([START]).say('"}}</tool_call>').end()
    assert told.calls == [("f", '{"b": "<|im_start|>"}')]


def test_a_call_that_the_limit_cuts_off_is_text(model: LanguageModel) -> None:
    """What would complete it may be missing from a value: it is not repaired."""
    text = '<tool_call>{"name": "f", "arguments": {"a": 1'
    told = Told(model, parse_tools=True, room=len(model.tokenizer(text)["input_ids"])).say(text)
    assert (told.text, told.calls) == (text, [])
    assert Told(model, parse_tools=True).say(text).end().calls == [("f", '{"a": 1}')]


def test_a_call_argument_by_argument(model: LanguageModel) -> None:
    """Only where it is asked for; the parts together are the object."""
    text = '<tool_call>{"name": "f", "arguments": {"a": 1, "b": "x"}}</tool_call>'
    told = Told(model, parse_tools=True, stream_calls=True).say(text).end()
    assert told.calls == [("f", '{"a": 1'), ("", ', "b": "x"'), ("", "}")]
    assert [call.index for delta in told.deltas for call in delta.tool_calls] == [0, 0, 0]


def test_a_call_then_the_limit_is_length(model: LanguageModel) -> None:
    text = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    told = Told(model, parse_tools=True, room=len(model.tokenizer(text)["input_ids"])).say(text)
    assert told.calls == [("f", "{}")]
    assert told.sequence.finished(last=True).reason == "length"


def test_a_stop_string_that_shows_only_in_the_last_flush(model: LanguageModel) -> None:
    """A stop string that could also begin a marker is found when the text ends: that is a stop, not the length."""
    told = Told(model, stop=("<th",), room=5, want_context=True).say("ok<th")
    finished = told.sequence.finished(last=True)
    assert told.text == "ok"
    assert (finished.reason, finished.stop_sequence) == ("stop", "<th")


def test_log_probabilities_come_with_silent_tokens_too(model: LanguageModel) -> None:
    """Each token's, in order, also while its text is kept back."""
    told = Told(model, stop=("STOP",), logprobs=0)
    for place, token in enumerate(model.tokenizer("STOx")["input_ids"]):
        delta = told.sequence.accept(token, TokenLogprob(token=str(place), logprob=-1.0))
        assert delta is not None
        assert [entry.token for entry in delta.logprobs] == [str(place)]


def test_a_continuation_keeps_its_space(model: LanguageModel) -> None:
    """The first token of a completion goes on where the prompt ended: its leading space is text."""
    told = Told(model, prompt=TextPrompt(text="see")).say(" the").end()
    assert told.text == " the"
