"""The engine's greedy continuations are Transformers', whoever else is in the batch, joins it or leaves it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from reference.blocks import VOCABULARY
from reference.checkpoints import NAMES, Checkpoint, prompts
from reference.recorded_file import STEPS, TOP, read
from support.engine_client import Engine, Sequence
from support.extent import LONG

from mlx_serve.daemon.protocol import Sampling, TokenPrompt

GREEDY = Sampling(temperature=0.0)
PREFILL_CHUNK = 16
WHOLE_PROMPT = 512
TOLERANCE = 1e-3
MOST_UNLIKE = ("llama", "gemma3", "qwen3_next")


@pytest.fixture(
    scope="module",
    params=[(name, PREFILL_CHUNK) for name in (NAMES if LONG else MOST_UNLIKE)]
    + [(name, WHOLE_PROMPT) for name in ("gemma3", "qwen3_next") if LONG],
    ids=lambda param: "-".join(map(str, param)),
)
def loaded(request: pytest.FixtureRequest, checkpoints: dict[str, Checkpoint]) -> Iterator[tuple[Engine, str]]:
    """One child per architecture, prefilling 16 tokens a step; two of the special caches take whole prompts
    too, where there is time."""
    name, chunk = request.param
    with Engine() as engine:
        engine.hello()
        engine.load(checkpoints[name].folder, prefill_tokens_per_step=chunk)
        yield engine, name


def ask(engine: Engine, prompt: list[int], **options: Any) -> Sequence:
    settings: dict[str, Any] = {
        "sampling": GREEDY,
        "max_tokens": STEPS,
        "ignore_eos": True,
        "want_context": True,
    }
    return engine.generate(TokenPrompt(ids=tuple(prompt)), **(settings | options))


def assert_recorded(name: str, sequences: dict[int, Sequence]) -> None:
    """Each sequence, keyed by the number of its prompt, has exactly the recorded tokens and counts."""
    expected = read(name).continuations
    for number, sequence in sequences.items():
        assert sequence.rejected is None
        assert sequence.answer == expected[number].tolist(), f"prompt {number}"
        assert sequence.finished is not None
        assert sequence.finished.reason == "length"
        assert sequence.finished.prompt_tokens == len(prompts()[number])
        assert sequence.finished.completion_tokens == STEPS


def test_alone(loaded: tuple[Engine, str]) -> None:
    """One request at a time gives the recorded continuation, from a prompt of one token to one of seventy."""
    engine, name = loaded
    for number, prompt in enumerate(prompts()):
        sequence = ask(engine, prompt)
        engine.finish([sequence])
        assert_recorded(name, {number: sequence})


def test_eight_at_once(loaded: tuple[Engine, str]) -> None:
    """Eight prompts of mixed lengths sent together run as one batch, and each gives what it gives alone."""
    engine, name = loaded
    sequences = {number: ask(engine, prompt) for number, prompt in enumerate(prompts())}
    together = 0
    for step in engine.steps():
        together = max(together, step.gauges.running)
        if all(sequence.done for sequence in sequences.values()):
            break
    assert_recorded(name, sequences)
    assert together == len(sequences)


def test_logits_in_a_batch(loaded: tuple[Engine, str]) -> None:
    """The log-probabilities of staggered neighbours are within 1e-3 of Transformers' at every step, best first."""
    engine, name = loaded
    recorded = read(name)
    sequences: dict[int, Sequence] = {}
    for number in (6, 0, 4, 7, 2, 5, 1, 3):
        sequences[number] = newest = ask(engine, prompts()[number], logprobs=TOP)
        engine.read_until(lambda newest=newest: len(newest.deltas) >= 2)  # type: ignore[misc]
    engine.finish(sequences.values())
    for number, sequence in sequences.items():
        drawn = [entry for delta in sequence.deltas for entry in delta.logprobs]
        expected = recorded.top_values[number] - recorded.logsumexp[number][:, None]
        np.testing.assert_allclose([entry.logprob for entry in drawn], expected[:, 0], rtol=0, atol=TOLERANCE)
        best = [[other.logprob for other in entry.top] for entry in drawn]
        np.testing.assert_allclose(best, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("order", ["short_first", "long_first", "mixed"])
def test_staggered_arrivals(loaded: tuple[Engine, str], order: str) -> None:
    """Each request joins when the one before it has answered three deltas, so that every join meets a running batch."""
    engine, name = loaded
    everyone = list(range(len(prompts())))
    numbers = {"short_first": everyone, "long_first": everyone[::-1], "mixed": [4, 7, 0, 5, 2, 6, 1, 3]}[order]
    sequences: dict[int, Sequence] = {}
    for number in numbers:
        sequences[number] = newest = ask(engine, prompts()[number])
        engine.read_until(lambda newest=newest: len(newest.deltas) >= 3)  # type: ignore[misc]
    engine.finish(sequences.values())
    assert_recorded(name, sequences)


def test_neighbours_are_cancelled(loaded: tuple[Engine, str]) -> None:
    """Requests that leave while they are queued, prefilling or decoding do not change those that stay."""
    engine, name = loaded
    kept = {number: ask(engine, prompts()[number]) for number in (0, 3, 5, 7)}
    decoding = [ask(engine, prompts()[number], max_tokens=400) for number in (1, 2, 6)]
    engine.read_until(lambda: all(len(sequence.deltas) >= 2 for sequence in decoding))
    prefilling = ask(engine, prompts()[7] * 6, max_tokens=90)
    queued = ask(engine, prompts()[6] * 6, max_tokens=90)  # the ninth
    engine.read_until(lambda: queued.accepted is not None)
    for sequence in (*decoding, prefilling, queued):
        engine.cancel(sequence)
    late = {number: ask(engine, prompts()[number]) for number in (2, 4)}
    engine.finish([*kept.values(), *late.values()])
    assert_recorded(name, kept | late)
    # They went before their last token, and their places are free.
    engine.ping()
    assert not any(sequence.finished for sequence in (*decoding, prefilling, queued))
    assert (engine.gauges.running, engine.gauges.waiting) == (0, 0)


def test_more_requests_than_places(loaded: tuple[Engine, str]) -> None:
    """Twenty requests over eight places: whoever waits gets the same answer as whoever ran at once."""
    engine, name = loaded
    numbers = [number % len(prompts()) for number in range(20)]
    sequences = [ask(engine, prompts()[number]) for number in numbers]
    engine.finish(sequences)
    for number, sequence in zip(numbers, sequences, strict=True):
        assert_recorded(name, {number: sequence})


def test_the_same_prompt_again(loaded: tuple[Engine, str]) -> None:
    """A prompt that was just answered, alone and with more of its answer: whatever was kept of it changes nothing."""
    engine, name = loaded
    prompt, answer = prompts()[7], read(name).continuations[7].tolist()
    for known in (0, 0, 1, 20, 5):
        sequence = ask(engine, prompt + answer[:known], max_tokens=STEPS - known)
        engine.finish([sequence])
        assert sequence.answer == answer[known:]


def test_a_seed_fixes_the_tokens(loaded: tuple[Engine, str]) -> None:
    """A sampled request with a seed draws the same tokens alone, in a batch of eight, and in another place of it."""
    engine, _ = loaded
    warm = Sampling(temperature=0.8, top_p=0.95, seed=1234)
    alone = ask(engine, prompts()[4], sampling=warm)
    engine.finish([alone])
    for place in (0, 5):
        neighbours = [
            ask(engine, prompts()[number], sampling=Sampling(temperature=1.0, seed=number)) for number in range(place)
        ]
        again = ask(engine, prompts()[4], sampling=warm)
        neighbours += [ask(engine, prompts()[number], sampling=GREEDY) for number in range(place, 7)]
        engine.finish([again, *neighbours])
        assert again.answer == alone.answer
    other = ask(engine, prompts()[4], sampling=Sampling(temperature=0.8, top_p=0.95, seed=1235))
    engine.finish([other])
    assert other.answer != alone.answer


def test_requests_never_see_each_others_tokens(loaded: tuple[Engine, str]) -> None:
    """Each of eight requests may only answer with its own token, forced by a bias, and no other one ever shows up."""
    engine, _ = loaded
    own = {number: VOCABULARY // 2 + number for number in range(8)}
    sequences = {
        number: ask(engine, prompts()[number], sampling=Sampling(temperature=0.0, logit_bias={token: 100.0}))
        for number, token in own.items()
    }
    engine.finish(sequences.values())
    for number, sequence in sequences.items():
        assert sequence.answer == [own[number]] * STEPS
        assert sequence.finished is not None
        assert sequence.finished.context is not None
        assert list(sequence.finished.context[: len(prompts()[number])]) == prompts()[number]
