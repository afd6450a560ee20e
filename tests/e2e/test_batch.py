"""Requests that share a batch get what they would have got alone, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from e2e.scripted_model import ENDLESS
from reference.checkpoints import prompts
from support.live_daemon import LiveDaemon, together

MODELS = ("llama", "qwen3")
TOKENS = 24


def greedy(daemon: LiveDaemon, model: str, ids: list[int]) -> str:
    return daemon.complete(model, ids, max_tokens=TOKENS, temperature=0, ignore_eos=True).text


def drawn(daemon: LiveDaemon, model: str, ids: list[int], seed: int, **more: Any) -> str:
    answer = daemon.complete(model, ids, max_tokens=TOKENS, temperature=1.2, seed=seed, ignore_eos=True, **more)
    return answer.text


def streamed(daemon: LiveDaemon, model: str, ids: list[int]) -> str:
    body = {"model": model, "prompt": ids, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}
    return daemon.stream("/v1/completions", **body).rest().text


@pytest.mark.parametrize("model", MODELS)
def test_eight_prompts_of_mixed_lengths_together_are_as_alone(daemon: LiveDaemon, model: str) -> None:
    """Whole and streamed, as requests of their own and as one request's prompts."""
    alone = [greedy(daemon, model, ids) for ids in prompts()]
    assert len(set(alone)) == len(alone), "the prompts tell the answers apart"
    for ask in (greedy, streamed):
        assert together([partial(ask, daemon, model, ids) for ids in prompts()]) == alone
    at_once = daemon.complete(model, prompts(), max_tokens=TOKENS, temperature=0, ignore_eos=True)
    assert [choice["text"] for choice in at_once.json["choices"]] == alone


@pytest.mark.parametrize("model", MODELS)
def test_a_seeded_request_says_the_same_alone_and_among_others(daemon: LiveDaemon, model: str) -> None:
    """Whatever the others' sampling is; and what they say does not depend on it either."""
    ids = prompts()
    seeds = range(100, 100 + len(ids))
    more = [{}, {"top_k": 20}, {"top_p": 0.8}, {"min_p": 0.05}, {"frequency_penalty": 1}, {"logit_bias": {"65": 5}}]
    asks: list[Callable[[], str]] = [
        partial(drawn, daemon, model, prompt, seed, **more[index % len(more)])
        for index, (prompt, seed) in enumerate(zip(ids, seeds, strict=True))
    ]
    alone = [ask() for ask in asks]
    mixed = together([*asks, *(partial(greedy, daemon, model, prompt) for prompt in ids)])
    assert mixed[: len(asks)] == alone
    assert mixed[len(asks) :] == [greedy(daemon, model, prompt) for prompt in ids]


def test_no_request_sees_another_ones_tokens(daemon: LiveDaemon) -> None:
    """Sixteen of eight texts that share no word, of many lengths, in both dialects, joining and leaving all along."""

    def ask(number: int) -> tuple[str, str]:
        script, tokens = ENDLESS[number % len(ENDLESS)], 10 + 17 * number
        text = f"say {script.name}"
        if number % 3 == 0:
            said = daemon.chat_stream("scripted", text, max_tokens=tokens).rest().text
        elif number % 3 == 1:
            said = daemon.ollama_stream("scripted", text, options={"num_predict": tokens}).rest().text
        else:
            said = daemon.chat("scripted", text, max_tokens=tokens).text
        return said, script.beginning(tokens)

    for said, expected in together([partial(ask, number) for number in range(16)]):
        assert said == expected


def test_the_choices_of_one_request_are_as_alone_too(daemon: LiveDaemon) -> None:
    ids = prompts()[3]
    answer = daemon.complete("qwen3", ids, max_tokens=TOKENS, temperature=1.2, seed=5, n=4, ignore_eos=True)
    texts = [choice["text"] for choice in answer.json["choices"]]
    assert texts == [drawn(daemon, "qwen3", ids, 5 + index) for index in range(4)]
    assert len(set(texts)) == 4
    assert json.loads(answer.body)["usage"]["prompt_tokens"] == len(ids)
