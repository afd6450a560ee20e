"""/v1/completions: prompts of four shapes, legacy log-probabilities, OpenAI's order."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fakes.engine import finished, says
from fakes.serving import MODEL, Serving

from mlx_serve.daemon.protocol import Delta, TextPrompt, TokenLogprob, TokenPrompt

PATH = "/v1/completions"


async def test_prompts_times_choices(serving: Serving, client: httpx.AsyncClient) -> None:
    """Each prompt n times, prompt by prompt; every prompt is counted once."""
    answer = (await client.post(PATH, json={"model": MODEL, "prompt": ["a", " b"], "n": 2, "seed": 5})).json()
    assert [c["index"] for c in answer["choices"]] == [0, 1, 2, 3]
    requests = serving.engine.requests
    assert [(r.prompt.text, r.choices, r.sampling.seed) for r in requests] == [("a", 2, 5), (" b", 2, 5)]  # type: ignore[union-attr]
    assert answer["object"] == "text_completion" and answer["choices"][0]["text"] == "Hello world"
    assert answer["usage"]["prompt_tokens"] == 14 and answer["usage"]["completion_tokens"] == 16
    assert {r.max_tokens for r in requests} == {16} and not any(r.split_reasoning for r in requests)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", [TextPrompt(text="")]),
        ([1, 2], [TokenPrompt(ids=(1, 2))]),
        ([[1], [2, 3]], [TokenPrompt(ids=(1,)), TokenPrompt(ids=(2, 3))]),
    ],
)
async def test_shapes_of_prompts(serving: Serving, client: httpx.AsyncClient, prompt: Any, expected: Any) -> None:
    assert (await client.post(PATH, json={"model": MODEL, "prompt": prompt})).status_code == 200
    assert [r.prompt for r in serving.engine.requests] == expected


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [-1]}, "prompt[0]"),
        ({"prompt": [2**31]}, "prompt[0]"),
        ({"prompt": [True]}, "prompt[0]"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"suffix": "x"}, "suffix"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"best_of": 2}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"max_tokens": 10**6}, "max_tokens"),
    ],
)
async def test_refusals(serving: Serving, client: httpx.AsyncClient, more: dict[str, Any], param: str) -> None:
    response = await client.post(PATH, json={"model": MODEL, "prompt": "a"} | more)
    assert response.status_code == 400 and response.json()["error"]["param"] == param
    assert serving.engine.requests == []


async def test_legacy_logprobs(serving: Serving, client: httpx.AsyncClient) -> None:
    """Parallel lists, streamed too; offsets go on over the chunks."""
    tokens = [
        TokenLogprob(token=" a", logprob=-0.5, top=(TokenLogprob(token=" a", logprob=-0.5),)),
        TokenLogprob(token="b", logprob=-1),
    ]
    serving.engine.script = says(*[Delta(id=1, text=t.token, logprobs=(t,)) for t in tokens], finished())
    body = {"model": MODEL, "prompt": "x", "logprobs": 1}
    whole = (await client.post(PATH, json=body)).json()["choices"][0]
    assert whole["text"] == " ab"
    assert whole["logprobs"] == {
        "tokens": [" a", "b"],
        "token_logprobs": [-0.5, -1.0],
        "top_logprobs": [{" a": -0.5}, {}],
        "text_offset": [0, 2],
    }
    text = (await client.post(PATH, json=body | {"stream": True, "stream_options": {"include_usage": True}})).text
    chunks = [json.loads(r[6:]) for r in text.split("\n\n") if r and r != "data: [DONE]"]
    assert [
        o for c in chunks for choice in c["choices"] if choice["logprobs"] for o in choice["logprobs"]["text_offset"]
    ] == [0, 2]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop" and chunks[-1]["usage"]["total_tokens"] == 11
