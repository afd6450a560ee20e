"""Real weights through the real daemon: what Transformers answers is answered, alone, in company, and quantized."""

from __future__ import annotations

import http.client
import statistics
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from real.cases import CASES, STEPS, Case
from real.conftest import recorded
from real.folder import DIGEST, folder
from real.wheels import GEMMA3, SMOLLM2, Weights
from support.live_daemon import LiveDaemon
from support.live_http import exchange, user

LONG = 600
"""Seconds for an answer, or for a test."""
pytestmark = pytest.mark.timeout(LONG)

NEAR = 0.02
"""Two tokens whose log-probabilities are this near may change places between two ways to add up the same sums."""
EXACT = 2e-3
"""How far a log-probability may be from Transformers'; both compute in float32."""
EIGHT_BITS = 0.1
"""How far one usually is with 8 bits a weight: their steps, and their scales in bfloat16, are off by 1/500 each."""


Answers = dict[str, dict[str, Any]]


def ask(daemon: LiveDaemon, case: Case, model: str | None = None) -> dict[str, Any]:
    """The first choice of the greedy answer, with log-probabilities. A busy CPU may take its time."""
    body: dict[str, Any] = {"model": model or case.weights.name, "temperature": 0, "max_tokens": STEPS}
    if case.chat:
        path, body = "/v1/chat/completions", body | {"messages": [user(case.text)], "logprobs": True}
    else:
        path, body = "/v1/completions", body | {"prompt": case.text, "logprobs": 0}
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=LONG)
    answer = exchange(connection, "POST", path, body)
    assert answer.status == 200, answer.body
    choice: dict[str, Any] = answer.json["choices"][0]
    return choice | {"prompt_tokens": answer.json["usage"]["prompt_tokens"]}


def said(case: Case, choice: dict[str, Any]) -> str:
    return str(choice["message"]["content"] if case.chat else choice["text"])


def logprobs(case: Case, choice: dict[str, Any]) -> list[float]:
    if case.chat:
        return [entry["logprob"] for entry in choice["logprobs"]["content"]]
    return list(choice["logprobs"]["token_logprobs"])


def clear(answer: dict[str, Any]) -> int:
    """How many tokens come before the first near tie."""
    return next((place for place, gap in enumerate(answer["gaps"]) if gap < NEAR), len(answer["gaps"]))


def compare(case: Case, choice: dict[str, Any], answer: dict[str, Any]) -> None:
    certain = clear(answer)
    assert certain >= 4, "the case says nothing"
    assert choice["prompt_tokens"] == answer["prompt_tokens"]
    theirs = answer["texts"][certain - 1].rstrip("\ufffd")
    if certain == len(answer["texts"]):
        assert said(case, choice) == theirs
        assert choice["finish_reason"] == ("stop" if answer["ended"] else "length")
    else:
        assert said(case, choice).startswith(theirs)
    assert logprobs(case, choice)[:certain] == pytest.approx(answer["logprobs"][:certain], abs=EXACT)


@pytest.mark.parametrize("weights", [SMOLLM2, GEMMA3], ids=lambda weights: weights.name)
def test_the_weights_are_the_recorded_ones(weights: Weights) -> None:
    assert (folder(weights) / DIGEST).read_text() == recorded(weights)["digest"]


def test_the_cases_reach_past_gemmas_window(answers: Answers) -> None:
    """A prompt that is longer than 512 tokens, and one whose answer crosses the 512th."""
    assert answers["past the window"]["prompt_tokens"] > 600
    into = answers["into the window"]
    assert 512 - clear(into) < into["prompt_tokens"] < 512


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.weights.name}-{case.name}")
def test_alone(case: Case, daemon: LiveDaemon, answers: Answers) -> None:
    compare(case, ask(daemon, case), answers[case.name])


@pytest.mark.parametrize("weights", [SMOLLM2, GEMMA3], ids=lambda weights: weights.name)
def test_eight_at_once(weights: Weights, daemon: LiveDaemon, answers: Answers) -> None:
    """Chats and completions of different lengths in one batch."""
    own = [case for case in CASES if case.weights is weights]
    cases = (own * 2)[:8]
    with ThreadPoolExecutor(len(cases)) as pool:
        choices = list(pool.map(lambda case: ask(daemon, case), cases))
    for case, choice in zip(cases, choices, strict=True):
        compare(case, choice, answers[case.name])


def test_eight_bits_are_near(daemon: LiveDaemon, answers: Answers) -> None:
    """The first token of an answer is about as likely as it was."""
    done = daemon.command("quantize", SMOLLM2.name, "--bits", "8")
    assert done.returncode == 0, done
    differences = []
    for case in [case for case in CASES if case.weights is SMOLLM2][:5]:
        choice = ask(daemon, case, f"{SMOLLM2.name}-8bit")
        differences.append(abs(answers[case.name]["logprobs"][0] - logprobs(case, choice)[0]))
    assert statistics.median(differences) < EIGHT_BITS
    assert max(differences) < 5 * EIGHT_BITS
    assert max(differences) > EXACT, "nothing was quantized"
