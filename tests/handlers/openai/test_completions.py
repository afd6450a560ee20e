"""/v1/completions: prompts of four shapes, legacy log-probabilities, OpenAI's order."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
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
        ({"logprobs": 6}, "logprobs"),
        ({"best_of": 2, "n": 3}, "best_of"),
        ({"best_of": 129}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"prompt": ["a"] * 65, "best_of": 2}, "prompt"),
        ({"n": 129}, "n"),
    ],
)
async def test_refusals(serving: Serving, client: httpx.AsyncClient, more: dict[str, Any], param: str) -> None:
    response = await client.post(PATH, json={"model": MODEL, "prompt": "a"} | more)
    assert response.status_code == 400 and response.json()["error"]["param"] == param
    assert serving.engine.requests == []


@pytest.fixture
def inserting(serving: Serving) -> Serving:
    """The model can insert, by its listing and by its engine."""
    serving.store.add(MODEL, capabilities=("completion", "insert"))
    serving.residency.info = msgspec.structs.replace(serving.residency.info, capabilities=("completion", "insert"))
    return serving


async def test_suffix(inserting: Serving, client: httpx.AsyncClient) -> None:
    """It goes with each prompt that is text; an empty one, or null, asks for nothing."""
    for prompt, suffix, expected in (
        ("a", "z", [TextPrompt(text="a", suffix="z")]),
        ("", "z", [TextPrompt(text="", suffix="z")]),
        (["a", "b"], "z", [TextPrompt(text="a", suffix="z"), TextPrompt(text="b", suffix="z")]),
        ("a", "", [TextPrompt(text="a")]),
        ([1, 2], None, [TokenPrompt(ids=(1, 2))]),
    ):
        inserting.engine.requests.clear()
        response = await client.post(PATH, json={"model": MODEL, "prompt": prompt, "suffix": suffix})
        assert response.status_code == 200 and response.json()["choices"][0]["text"] == "Hello world"
        assert [request.prompt for request in inserting.engine.requests] == expected  # type: ignore[union-attr]


@pytest.mark.parametrize("more", [{"echo": True}, {"prompt": [1, 2]}, {"prompt": [[1], [2]]}])
async def test_what_does_not_go_with_suffix(
    inserting: Serving, client: httpx.AsyncClient, more: dict[str, Any]
) -> None:
    response = await client.post(PATH, json={"model": MODEL, "prompt": "a", "suffix": "z"} | more)
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, "suffix", "invalid_value")
    assert inserting.engine.requests == []


async def test_suffix_needs_a_model_that_can(serving: Serving, client: httpx.AsyncClient) -> None:
    """What the listing says decides before a load, and then what the engine says."""
    body = {"model": MODEL, "prompt": "a", "suffix": "z"}
    refused = await client.post(PATH, json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "suffix")
    assert "no fill-in-the-middle tokens" in refused.json()["error"]["message"]
    assert serving.residency.loaded == []
    serving.store.add(MODEL, capabilities=("completion", "insert"))
    assert (await client.post(PATH, json=body)).status_code == 400
    assert serving.engine.requests == []
    assert (await client.post(PATH, json=body | {"suffix": ""})).status_code == 200


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


async def test_the_first_token_of_an_echoed_prompt_has_no_probability(
    serving: Serving, client: httpx.AsyncClient
) -> None:
    """As OpenAI has it: null for its probability and for its alternatives, whole and streamed."""
    prompt = (
        TokenLogprob(token="x", logprob=None),
        TokenLogprob(token="y", logprob=-2, top=(TokenLogprob(token="z", logprob=-1),)),
    )
    answer = TokenLogprob(token="!", logprob=-0.5)
    serving.engine.script = says(
        Delta(id=1, text="xy", logprobs=prompt), Delta(id=1, text="!", logprobs=(answer,)), finished()
    )
    body = {"model": MODEL, "prompt": "xy", "logprobs": 1, "echo": True, "max_tokens": 1}
    choice = (await client.post(PATH, json=body)).json()["choices"][0]
    assert choice["text"] == "xy!"
    assert choice["logprobs"] == {
        "tokens": ["x", "y", "!"],
        "token_logprobs": [None, -2.0, -0.5],
        "top_logprobs": [None, {"z": -1.0}, {}],
        "text_offset": [0, 1, 2],
    }
    request = serving.engine.requests[0]
    assert request.echo and request.logprobs == 1
    text = (await client.post(PATH, json=body | {"stream": True})).text
    chunks = [json.loads(record[6:]) for record in text.split("\n\n") if record and record != "data: [DONE]"]
    first = chunks[0]["choices"][0]
    assert first["text"] == "xy" and first["logprobs"]["token_logprobs"] == [None, -2.0]


async def test_the_best_of_several(serving: Serving, client: httpx.AsyncClient) -> None:
    """Of three answers a prompt the two with the highest mean log-probability come, best first; all are counted."""
    answers = iter([("a", -2.0), ("b", -0.5), ("c", -1.0)])

    def script(request: Any) -> list[Any]:
        """Once a choice."""
        text, value = next(answers)
        drawn = Delta(id=1, text=text, logprobs=(TokenLogprob(token=text, logprob=value),))
        return says(drawn, finished(tokens=1))(request)

    serving.engine.script = script
    body = {"model": MODEL, "prompt": "x", "best_of": 3, "n": 2}
    answer = (await client.post(PATH, json=body)).json()
    assert [(choice["index"], choice["text"]) for choice in answer["choices"]] == [(0, "b"), (1, "c")]
    assert all(choice["logprobs"] is None for choice in answer["choices"])
    assert answer["usage"]["completion_tokens"] == 3
    request = serving.engine.requests[0]
    assert request.choices == 3 and request.logprobs == 0


async def test_more_tokens_than_the_context_are_not_an_error(serving: Serving, client: httpx.AsyncClient) -> None:
    """Agents ask for the most that any model gives: they get what fits, and a header says so."""
    body = {"model": MODEL, "prompt": "x", "max_tokens": 10**6}
    response = await client.post(PATH, json=body)
    assert response.status_code == 200
    assert "max_tokens 1000000 is more than the model's context of" in response.headers["x-mlx-serve-notice"]
    streamed = await client.post(PATH, json=body | {"stream": True})
    assert streamed.headers["x-mlx-serve-notice"] == response.headers["x-mlx-serve-notice"]
    assert "x-mlx-serve-notice" not in (await client.post(PATH, json=body | {"max_tokens": 5})).headers


async def test_the_service_tier_is_echoed(client: httpx.AsyncClient) -> None:
    body = {"model": MODEL, "prompt": "x", "service_tier": "flex"}
    assert (await client.post(PATH, json=body)).json()["service_tier"] == "flex"
    assert "service_tier" not in (await client.post(PATH, json=body | {"service_tier": None})).json()
