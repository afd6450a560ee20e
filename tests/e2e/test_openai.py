"""The official `openai` package, blocking and asynchronous, against the real daemon with real models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import openai
import pytest
from e2e.scripted_model import ENDLESS, HELLO
from support.live_daemon import LiveDaemon

SAY_H: Any = [{"role": "user", "content": "say H"}]
ROUND = ENDLESS[0]


@pytest.fixture(scope="module")
def client(daemon: LiveDaemon) -> Iterator[openai.OpenAI]:
    http = httpx.Client(trust_env=False, verify=False, timeout=60)
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="none", max_retries=0, http_client=http) as made:
        yield made


@pytest.fixture
async def waiting(daemon: LiveDaemon) -> AsyncIterator[openai.AsyncOpenAI]:
    """The asynchronous client."""
    http = httpx.AsyncClient(trust_env=False, verify=False, timeout=60)
    async with openai.AsyncOpenAI(base_url=f"{daemon.url}/v1", api_key="none", max_retries=0, http_client=http) as made:
        yield made


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="scripted", messages=SAY_H)
    assert answer.choices[0].message.content == HELLO.text and answer.choices[0].finish_reason == "stop"
    assert answer.object == "chat.completion" and answer.model == "scripted" and answer.id.startswith("chatcmpl-")
    assert answer.usage is not None and answer.usage.completion_tokens == len(HELLO.pieces)


def test_streamed_chat(client: openai.OpenAI) -> None:
    """One id, the role first, the reason last, and usage when it is asked for."""
    plain = list(client.chat.completions.create(model="scripted", messages=SAY_H, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in plain) == HELLO.text
    assert plain[0].choices[0].delta.role == "assistant" and plain[-1].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in plain}) == 1 and all(chunk.usage is None for chunk in plain)
    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="scripted", messages=SAY_H, stream=True, stream_options=options))
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(HELLO.pieces)


def test_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="scripted", prompt="say P")
    assert answer.choices[0].text == ROUND.beginning(16), "16 tokens when nothing else is said"
    assert answer.choices[0].finish_reason == "length"
    echoed = client.completions.create(model="scripted", prompt="say H", echo=True)
    assert echoed.choices[0].text == f"say H{HELLO.text}"
    chunks = list(client.completions.create(model="scripted", prompt="say P", stream=True, max_tokens=5))
    assert "".join(chunk.choices[0].text for chunk in chunks) == ROUND.beginning(5)


def test_models(client: openai.OpenAI) -> None:
    listed = {model.id for model in client.models.list()}
    assert {"scripted", "llama", "starter"} <= listed
    assert client.models.retrieve("local/scripted").id == "local/scripted"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_stop_and_choices(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="scripted", messages=SAY_H, stop=["wor"], n=2)
    assert [choice.message.content for choice in answer.choices] == ["Hello, "] * 2
    assert [choice.index for choice in answer.choices] == [0, 1]


def test_logprobs(client: openai.OpenAI) -> None:
    """A certain model is certain; an unsure one gives probabilities, the best first, no more than asked for."""
    answer = client.chat.completions.create(model="scripted", messages=SAY_H, logprobs=True, top_logprobs=2)
    content = answer.choices[0].logprobs.content  # type: ignore[union-attr]
    assert content is not None and [token.token for token in content] == list(HELLO.pieces)
    assert all(-0.01 < token.logprob <= 0 and len(token.top_logprobs) == 2 for token in content)
    unsure = client.completions.create(model="starter", prompt="Hello", max_tokens=4, temperature=0, logprobs=3)
    given = unsure.choices[0].logprobs
    assert given is not None and given.tokens is not None and given.token_logprobs is not None
    assert len(given.tokens) == len(given.token_logprobs) == 4
    for token, logprob, top in zip(given.tokens, given.token_logprobs, given.top_logprobs or [], strict=True):
        assert logprob == max(top.values()) and len(top) <= 3 and token in top


def test_seed(client: openai.OpenAI) -> None:
    """The same seed gives the same text, another seed another; each of several choices has its own."""

    def drawn(seed: int, n: int = 1) -> list[str]:
        answer = client.completions.create(
            model="starter", prompt="Once", max_tokens=24, temperature=1.5, seed=seed, n=n
        )
        return [choice.text for choice in answer.choices]

    first = drawn(7, 3)
    assert first == drawn(7, 3) and len(set(first)) == 3
    assert drawn(7) == first[:1] != drawn(8)


def test_errors(client: openai.OpenAI) -> None:
    """Each is the package's own exception, with the field at fault."""
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nobody", messages=SAY_H)
    assert unknown.value.code == "model_not_found" and unknown.value.param == "model"
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="scripted", messages=SAY_H, temperature=3)
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as bias:
        client.chat.completions.create(model="scripted", messages=SAY_H, logit_bias={"999999": 1}, stream=True)
    assert bias.value.param == "logit_bias"
    with pytest.raises(openai.BadRequestError) as long:
        client.completions.create(model="llama", prompt="x" * 1000)
    assert long.value.code == "context_length_exceeded"


def test_a_stream_that_is_left_early(client: openai.OpenAI, daemon: LiveDaemon) -> None:
    say: Any = [{"role": "user", "content": "say P"}]
    with client.chat.completions.create(model="scripted", messages=say, stream=True) as stream:
        text = next(chunk for chunk in stream if chunk.choices[0].delta.content).choices[0].delta.content
        assert text and text.startswith(" p0")
    daemon.wait_for_rest()


async def test_the_asynchronous_client(waiting: openai.AsyncOpenAI) -> None:
    answer = await waiting.chat.completions.create(model="scripted", messages=SAY_H)
    assert answer.choices[0].message.content == HELLO.text
    stream = await waiting.chat.completions.create(model="scripted", messages=SAY_H, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == HELLO.text
    assert (await waiting.completions.create(model="scripted", prompt="say H")).choices[0].text == HELLO.text
    assert "scripted" in [model.id async for model in waiting.models.list()]
    with pytest.raises(openai.NotFoundError):
        await waiting.completions.create(model="nobody", prompt="say H")
    with pytest.raises(openai.BadRequestError) as wrong:
        await waiting.completions.create(model="scripted", prompt="say H", top_p=7)
    assert wrong.value.param == "top_p"
