"""The log-probabilities of a prompt's own tokens, over a network of which every logit is known."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from support.engine_wire import Wire, ask, note_yields, prompts_of, run
from support.hashing_network import ROWS, TABLE, Make, answer, follow

from mlx_serve.daemon.engine.generate.sampling import scores
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prompt.refused import Refused
from mlx_serve.daemon.protocol import Ask, Cancel, Delta, Generate, Rejected, TokenLogprob, TokenPrompt

PROMPT = tuple((7 * place * place + 3) % ROWS for place in range(21))


def scored(number: int, prompt: tuple[int, ...] = PROMPT, count: int = 0, top: int = 0, **more: Any) -> Ask:
    return ask(number, prompt, count, echo=True, logprobs=top, **more)


def expected(prompt: tuple[int, ...]) -> list[float]:
    """Of every token but the first, by NumPy from the table."""
    state, values = 0, []
    for token, following in itertools.pairwise(prompt):
        state = follow(state, token)
        row = TABLE[state].astype(np.float64)
        values.append(float(row[following] - np.log(np.exp(row).sum())))
    return values


def told(wire: Wire, number: int, choice: int = 0) -> tuple[TokenLogprob, ...]:
    """What came with the prompt: the first delta of the choice."""
    first = next(event for event in wire.choices[number, choice] if isinstance(event, Delta))
    return first.logprobs


def check(found: tuple[TokenLogprob, ...], prompt: tuple[int, ...]) -> None:
    assert len(found) == len(prompt)
    assert found[0].logprob is None
    assert [one.logprob for one in found[1:]] == pytest.approx(expected(prompt), abs=1e-4)


@pytest.mark.parametrize("length", [1, 2, 9, 21])
def test_a_prompt_is_scored_without_an_answer(engine: Make, length: int) -> None:
    """max_tokens 0, as scorers send it, in chunks of eight tokens: every token has its probability, none is drawn."""
    wire = run(engine(), iter([[scored(1, PROMPT[:length])]]))
    check(told(wire, 1), PROMPT[:length])
    end = wire.finished(1)
    assert (end.reason, end.completion_tokens, end.prompt_tokens) == ("length", 0, length)


def test_the_likeliest_tokens_of_every_place(engine: Make) -> None:
    wire = run(engine(), iter([[scored(1, top=3)]]))
    state = 0
    for token, one in zip(PROMPT, told(wire, 1)[1:], strict=False):
        state = follow(state, token)
        best = np.sort(TABLE[state])[::-1][:3]
        others = [other.logprob for other in one.top]
        assert [first - others[0] for first in others if others[0] is not None and first is not None] == pytest.approx(
            best - best[0], abs=1e-4
        )


def test_the_answer_goes_on_after_a_scored_prompt(engine: Make) -> None:
    """All choices share one prefill; each has the prompt before its own tokens."""
    wire = run(engine(), iter([[scored(1, count=5, choices=3)]]))
    for choice in range(3):
        check(told(wire, 1, choice), PROMPT)
        assert wire.tokens(1, choice) == answer(PROMPT, 5)


def test_beside_others(engine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scored prompts of several lengths, others that are not, and one that is cancelled: each gets its own."""
    monkeypatch.setattr(scores, "LOGITS_BYTES", 3 * 4 * ROWS)  # three places a chunk
    prompts = {number: PROMPT[: 3 + 4 * number] for number in range(1, 5)}
    first: list[Any] = [scored(number, prompt, number % 2) for number, prompt in prompts.items()]
    wire = run(engine(), iter([[*first, ask(9, PROMPT[:7], 6), scored(10)], [], [Cancel(id=10)]]))
    for number, prompt in prompts.items():
        check(told(wire, number), prompt)
    assert wire.tokens(9) == answer(PROMPT[:7], 6)


def test_a_scored_prompt_that_had_to_wait_again(engine: Make) -> None:
    """Memory that runs out puts a prompt back: it is scored once, from the start."""
    made = engine(row_bytes=1, memory=72)
    put_back = note_yields(made[0])
    prompts = {number: (number, number + 1, number + 2) for number in range(1, 5)}
    wire = run(made, iter([[scored(number, prompt, 40) for number, prompt in prompts.items()]]))
    assert put_back
    for number, prompt in prompts.items():
        check(told(wire, number), prompt)
        assert sum(len(delta.logprobs) for delta in wire.deltas(number)) == len(prompt) + 40
        assert wire.tokens(number) == answer(prompt, 40)


def test_memory_that_runs_out_while_scoring_ends_that_request(engine: Make, model: LanguageModel) -> None:
    model.network.largest = 4
    wire = run(engine(), iter([[scored(1), ask(2, PROMPT[:3], 4)]]))
    rejected = wire.events[1][-1]
    assert isinstance(rejected, Rejected) and rejected.code == "insufficient_memory"
    assert wire.tokens(2) == answer(PROMPT[:3], 4)


def test_what_a_chunk_may_take() -> None:
    """The logits of a chunk stay within a bound, whatever the vocabulary."""
    for vocabulary, rows in ((151_936, 1), (262_144, 8), (32_000, 3)):
        places = scores.widest(vocabulary, rows)
        assert places * vocabulary * rows * 4 <= scores.LOGITS_BYTES < (places + 1) * vocabulary * rows * 4
    assert scores.widest(10**12, 1) == 1


def test_no_probability_is_below_what_json_holds(llama: LanguageModel) -> None:
    assert scores.named(llama.vocabulary, 3, -math.inf).logprob == -9999.0


def test_a_full_context_may_be_scored(llama: LanguageModel) -> None:
    """A prompt as long as the context leaves no room for an answer, and needs none."""
    ids = tuple(place % llama.rows for place in range(llama.context_length))
    prompts = prompts_of(llama)
    assert prompts.prepare(Generate(prompt=TokenPrompt(ids=ids), max_tokens=0)).room == 0
    for request in (
        Generate(prompt=TokenPrompt(ids=ids), max_tokens=1),
        Generate(prompt=TokenPrompt(ids=(*ids, 1)), max_tokens=0),
    ):
        with pytest.raises(Refused, match="maximum context length"):
            prompts.prepare(request)
