"""What takes mlx_lm.server 0.32.2 down, or gets a wrong answer from it, one test a case: here each such request gets
its 400 or its correct answer, and the next one works in the same child process.

Killing the child in mid-request stands in test_process_deaths.py, waiting for a swap of models in test_residency.py.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from e2e.scripted_model import BROKEN_CALL, CALL, HELLO, LESS_THAN, SMILE, VOCABULARY
from reference.blocks import VOCABULARY as LLAMA_VOCABULARY
from reference.checkpoints import prompts
from reference.tokenizer_files import alphabet, tokenizer
from support.live_daemon import LiveDaemon
from support.live_http import Answer

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]


@pytest.fixture(autouse=True)
def same_process(daemon: LiveDaemon) -> Iterator[None]:
    """After every case the same process gives the same known answer."""
    assert daemon.chat("scripted", "say H").text == HELLO.text
    pid = daemon.runner("local/scripted")
    yield
    assert daemon.chat("scripted", "say H").text == HELLO.text
    assert daemon.runner("local/scripted") == pid


def refused(answer: Answer, param: str) -> None:
    assert answer.status == 400, answer.body
    assert answer.error["param"].startswith(param), answer.error
    assert answer.error["type"] == "invalid_request_error" and answer.error["message"]


def decoded(ids: list[int]) -> str:
    """What the reference checkpoints' tokens say."""
    letters = {letter: byte for byte, letter in enumerate(alphabet())}
    names = {index: name for name, index in tokenizer(LLAMA_VOCABULARY)["model"]["vocab"].items()}
    return bytes(letters[letter] for index in ids for letter in names.get(index, "")).decode(errors="replace")


def test_a_prompt_that_is_an_earlier_prompt_and_its_answer_goes_on_where_that_ended(daemon: LiveDaemon) -> None:
    """The exact hit in a cache of prefixes; and once more, as every later request has to live too."""

    def generated(count: int) -> list[int]:
        options = {"temperature": 0, "num_predict": count}
        answer = daemon.post("/api/generate", model="llama", prompt="hello", stream=False, options=options)
        assert answer.json["done_reason"] == "length" and answer.json["eval_count"] == count
        return list(answer.json["context"])

    eight, sixteen = generated(8), generated(16)
    assert sixteen[: len(eight)] == eight
    for _ in range(2):
        assert daemon.complete("llama", eight, max_tokens=8, temperature=0).text == decoded(sixteen[-8:])
    ids = prompts()[4]
    first = daemon.complete("llama", ids, max_tokens=8, temperature=0).text
    assert daemon.complete("llama", ids, max_tokens=8, temperature=0).text == first


@pytest.mark.parametrize("prompt", [["say H", "say S"], [[72], [83]]])
def test_a_list_of_prompts_gets_an_answer_each(daemon: LiveDaemon, prompt: Any) -> None:
    ids = [[alphabet().index(name) for name in "HS"[index : index + 1]] for index in (0, 1)]
    answer = daemon.complete("scripted", prompt if isinstance(prompt[0], str) else ids)
    choices = answer.json["choices"]
    assert [(choice["index"], choice["text"]) for choice in choices] == [(0, HELLO.text), (1, SMILE.text)]
    assert answer.json["usage"]["completion_tokens"] == len(HELLO.pieces) + len(SMILE.pieces)


@pytest.mark.parametrize("prompt", ["", [""], [], [[]], ["say H", ""], [{}], None, 5])
def test_an_empty_prompt_or_none_is_refused(daemon: LiveDaemon, prompt: Any) -> None:
    refused(daemon.complete("scripted", prompt), "prompt")


@pytest.mark.parametrize("sampling", [{"top_k": 100_000}, {"top_k": 2**31 - 1}, {"xtc_threshold": 0.9}, {"min_p": 1}])
def test_odd_but_harmless_sampling_is_answered(daemon: LiveDaemon, sampling: dict[str, Any]) -> None:
    assert daemon.chat("scripted", "say H", temperature=1, **sampling).text == HELLO.text
    assert daemon.complete("scripted", "say H", temperature=1, **sampling).text == HELLO.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("top_k", -2),
        ("top_k", 1e9),
        ("temperature", -1),
        ("temperature", 1e30),
        ("top_p", 0),
        ("top_p", 1.5),
        ("min_p", -0.1),
        ("seed", 2**64),
        ("seed", 1.5),
        ("n", 0),
        ("n", 129),
        ("max_tokens", -1),
        ("max_tokens", 2**31),
        ("frequency_penalty", 3),
        ("repetition_penalty", 0),
        ("stop", [5]),
        ("stop", [""]),
        ("stop", 5),
        ("logit_bias", {"999999": 1}),
        ("logit_bias", {"1000000": 5}),
        ("logit_bias", {str(VOCABULARY): 1}),
        ("logit_bias", {"-1": 1}),
        ("logit_bias", {"72": 101}),
        ("logit_bias", {"x": 1}),
    ],
)
def test_values_out_of_range_are_refused_by_name(daemon: LiveDaemon, field: str, value: Any) -> None:
    refused(daemon.chat("scripted", "say H", **{field: value}), field)
    refused(daemon.complete("scripted", "say H", **{field: value}), field)


@pytest.mark.parametrize("ids", [[2**31 - 1], [VOCABULARY], [72, -1], [2**63], [True]])
def test_token_ids_outside_the_vocabulary_are_refused(daemon: LiveDaemon, ids: list[int]) -> None:
    refused(daemon.complete("scripted", ids), "prompt")
    answer = daemon.post("/api/generate", model="scripted", prompt="say H", context=ids)
    assert answer.status == 400 and isinstance(answer.error, str)


@pytest.mark.parametrize(
    ("stop", "text", "tokens"),
    [
        ("wor", "Hello, ", 3),
        (["wor"], "Hello, ", 3),
        (["o, w"], "Hell", 3),
        (["zzz", "!", "ld"], "Hello, wor", 4),
        (["Hello"], "", 1),
        (["worst", "world?"], "Hello, world!", 5),
    ],
)
def test_generation_ends_at_a_stop_string_and_none_of_it_is_shown(
    daemon: LiveDaemon, stop: Any, text: str, tokens: int
) -> None:
    """Also where it begins or ends inside a token. What only began like one is shown."""
    whole = daemon.chat("scripted", "say H", stop=stop)
    assert whole.text == text and whole.json["choices"][0]["finish_reason"] == "stop"
    assert whole.json["usage"]["completion_tokens"] == tokens
    assert daemon.complete("scripted", "say H", stop=stop).text == text
    stops = [stop] if isinstance(stop, str) else stop
    for stream in (
        daemon.chat_stream("scripted", "say H", stop=stop),
        daemon.ollama_stream("scripted", "say H", options={"stop": stops}),
    ):
        assert stream.rest().text == text and stream.whole


def test_what_was_kept_back_for_a_marker_is_shown_at_the_end(daemon: LiveDaemon) -> None:
    """`if b <` ends as a stop string or a tool call could begin."""
    for more in ({"stop": ["<tool"]}, {"tools": TOOLS}, {}):
        assert daemon.chat("scripted", "say L", **more).text == LESS_THAN.text
        assert daemon.chat_stream("scripted", "say L", **more).rest().text == LESS_THAN.text


def test_choices_are_as_many_as_asked_for(daemon: LiveDaemon) -> None:
    answer = daemon.chat("scripted", "say H", n=3)
    assert [choice["message"]["content"] for choice in answer.json["choices"]] == [HELLO.text] * 3
    assert answer.json["usage"]["completion_tokens"] == 3 * len(HELLO.pieces)
    stream = daemon.chat_stream("scripted", "say H", n=3).rest()
    texts = ["", "", ""]
    for record in stream.records[:-1]:
        for choice in record["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
    assert texts == [HELLO.text] * 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("response_format", {"type": "json_schema", "json_schema": {"schema": {"type": "nothing"}}}),
        ("tool_choice", {"type": "function", "function": {"name": "nobody"}}),
        ("prompt_logprobs", 5),
        ("functions", [{"name": "f"}]),
        ("audio", {"voice": "x"}),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(daemon: LiveDaemon, field: str, value: Any) -> None:
    refused(daemon.chat("scripted", "say H", tools=TOOLS, **{field: value}), field)


def test_no_error_is_a_404_but_that_of_an_unknown_model_or_path(daemon: LiveDaemon) -> None:
    assert daemon.chat("nobody", "say H").status == 404
    assert daemon.get("/v1/nothing").status == 404
    assert daemon.chat("scripted", "x" * 20_000_000).status == 400
    assert daemon.request("POST", "/v1/chat/completions", b'{"model": ').status == 400
    assert daemon.request("POST", "/v1/chat/completions", b"[" * 100_000).status == 400


def test_a_tool_call_becomes_one(daemon: LiveDaemon) -> None:
    answer = daemon.chat("scripted", "say C", tools=TOOLS).json["choices"][0]
    (call,) = answer["message"]["tool_calls"]
    assert (call["function"]["name"], call["function"]["arguments"]) == ("weather", '{"city": "Rome"}')
    assert answer["finish_reason"] == "tool_calls" and answer["message"]["content"].strip() == "Let me look."
    records = daemon.ollama_stream("scripted", "say C", tools=TOOLS).rest().records
    (called,) = [record["message"]["tool_calls"] for record in records if "tool_calls" in record["message"]]
    assert called[0]["function"]["arguments"] == {"city": "Rome"}


def test_a_malformed_tool_call_is_shown_as_text(daemon: LiveDaemon) -> None:
    """Nothing the model said is lost, and nobody is told of calls that are not there."""
    choice = daemon.chat("scripted", "say B", tools=TOOLS).json["choices"][0]
    assert choice["message"]["content"] == BROKEN_CALL.text and choice["finish_reason"] == "stop"
    assert not choice["message"].get("tool_calls")
    stream = daemon.chat_stream("scripted", "say B", tools=TOOLS).rest()
    assert stream.text == BROKEN_CALL.text and stream.records[-2]["choices"][0]["finish_reason"] == "stop"


def test_a_tool_call_cut_by_the_limit_is_shown_as_text(daemon: LiveDaemon) -> None:
    choice = daemon.chat("scripted", "say C", tools=TOOLS, max_tokens=6).json["choices"][0]
    assert choice["message"]["content"] == CALL.beginning(6) and choice["finish_reason"] == "length"
    assert not choice["message"].get("tool_calls")


def test_a_tool_call_that_nobody_offered_tools_for_is_text(daemon: LiveDaemon) -> None:
    for more in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        choice = daemon.chat("scripted", "say C", **more).json["choices"][0]
        assert choice["message"]["content"] == CALL.text and choice["finish_reason"] == "stop"


def test_no_address_in_a_request_is_ever_called(daemon: LiveDaemon) -> None:
    """An image's URL is refused before anything looks at it; one in the text is text."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0)
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/x.png"
        part = {"type": "image_url", "image_url": {"url": url}}
        for content in ([part], [{"type": "text", "text": "say H"}, part]):
            body = {"model": "scripted", "messages": [{"role": "user", "content": content}]}
            refused(daemon.post("/v1/chat/completions", **body), "messages[0].content")
        message = {"role": "user", "content": "say H", "images": [url]}
        assert daemon.post("/api/chat", model="scripted", messages=[message]).status == 400
        assert daemon.chat("scripted", f"![]({url}) say H").text == HELLO.text
        with pytest.raises(BlockingIOError):
            canary.accept()


def test_usage_does_not_count_the_token_that_ends_the_turn(daemon: LiveDaemon) -> None:
    usage = daemon.chat("scripted", "say H").json["usage"]
    assert usage["completion_tokens"] == len(HELLO.pieces)
    assert usage["total_tokens"] == usage["prompt_tokens"] + len(HELLO.pieces)
    last = daemon.ollama_stream("scripted", "say H").rest().last
    assert last["eval_count"] == len(HELLO.pieces) and last["prompt_eval_count"] == usage["prompt_tokens"]


def test_characters_of_several_tokens_come_whole(daemon: LiveDaemon) -> None:
    """Each piece of a stream is text that stays; a character cut off by the limit is marked, never a failure."""
    for stream in (daemon.chat_stream("scripted", "say S"), daemon.ollama_stream("scripted", "say S")):
        assert stream.rest().text == SMILE.text == " a😀 z"
    assert daemon.chat("scripted", "say S", max_tokens=3).text == " a\ufffd"
