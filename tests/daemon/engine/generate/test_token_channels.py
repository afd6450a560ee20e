"""Log-probabilities beside the part of the answer that their tokens became, however markers are cut into tokens."""

from __future__ import annotations

import pytest
from support.spoken_calls import TOOLS, family_named

from mlx_serve.daemon.engine.generate.token_channels import TokenChannels
from mlx_serve.daemon.engine.output.formats.table import find_family, open_format
from mlx_serve.daemon.protocol import TokenLogprob

CALL = '{"name": "time", "arguments": {}}'


def placed(template: str, tokens: list[str], *, stream: bool = False) -> dict[str, str]:
    """The text of each channel's tokens. No token is lost, and none changes its place."""
    format = open_format(find_family(template), TOOLS, reasoning=True, calls=True, stream_calls=stream)
    channels, found = TokenChannels(), []
    for text in tokens:
        before = format.channel
        pieces = format.add(text)
        found += channels.add(TokenLogprob(token=text, logprob=-1.0), text, before, format.channel, pieces)
    found += channels.rest(format.finish())
    assert [each.token for each in found] == tokens
    together: dict[str, str] = {}
    for each in found:
        together[each.channel] = together.get(each.channel, "") + each.token
    return together


@pytest.mark.parametrize("stream", [False, True])
def test_a_thought_an_answer_and_a_call(stream: bool) -> None:
    """Markers whole and in pieces, white space between the parts."""
    call = [*'{"name": "time", ', '"arguments"', ": {}}"]
    for opener, closer in ((["<think>"], ["</think>"]), (["<th", "ink", ">"], ["</", "think>"])):
        found = placed(
            "<tool_call> <think>",
            [*opener, "Hm", " ok", *closer, "\n\n", "Yes", " <", " 3", "<tool", "_call>", *call, "</tool_call>"],
            stream=stream,
        )
        assert found == {
            "reasoning": "".join([*opener, "Hm", " ok", *closer]),
            "layout": "\n\n",
            "content": "Yes < 3",
            "tool": f"<tool_call>{CALL}</tool_call>",
        }


def test_a_marker_in_prose_is_content() -> None:
    assert placed("<tool_call>", ["Use", " <tool_call>", " for", " it"]) == {"content": "Use <tool_call> for it"}
    assert placed("<tool_call>", ["Use", " <tool"]) == {"content": "Use <tool"}


def test_channels_of_gpt_oss() -> None:
    """What opens a message is layout, or part of the thought that it opens."""
    assert family_named("harmony").thoughts
    found = placed(
        "<|channel|>",
        [
            *("<|channel|>", "analysis", "<|message|>", "Hm", "<|end|>"),
            *("<|start|>", "assistant", "<|channel|>", "final", "<|message|>", "Yes", "."),
        ],
    )
    assert found == {
        "reasoning": "<|channel|>analysis<|message|>Hm<|end|>",
        "layout": "<|start|>assistant<|channel|>final<|message|>",
        "content": "Yes.",
    }
