"""What the sampler draws: the right tokens, as often as they should, whoever else is in the batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from mlx_serve.daemon.engine.generate.sampling.draw import Draw, resolve
from mlx_serve.daemon.engine.generate.sampling.sampler import Sampler
from mlx_serve.daemon.protocol import Sampling

Floats = NDArray[np.float32]


def rows(count: int, vocabulary: int, seed: int = 0, scale: float = 2.0) -> Floats:
    return (np.random.default_rng(seed).normal(size=(count, vocabulary)) * scale).astype(np.float32)


def draw(logits: Floats, draws: Sequence[Draw], indices: Sequence[int] | None = None) -> list[int]:
    sampler = Sampler(logits.shape[1])
    sampler.place(draws, [[] for _ in draws])
    return [int(t) for t in sampler.sample(mx.array(logits), indices or [0] * len(draws)).tokens.tolist()]  # type: ignore


def many(logits: Floats, one: Draw, count: int) -> NDArray[np.int64]:
    """`count` draws from one row of logits, each with a seed of its own; how often each token came."""
    tokens = draw(np.repeat(logits, count, axis=0), [replace(one, seed=seed * 7919) for seed in range(count)])
    return np.bincount(tokens, minlength=logits.shape[1])


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(values - values.max())
    return weights / weights.sum()


def expected(logits: Floats, one: Draw) -> NDArray[np.float64]:
    """The probabilities to draw from, written down plainly: temperature, then top-k, top-p, min-p."""
    scaled = logits[0].astype(np.float64) / one.temperature
    likeliest = np.argsort(-scaled)
    kept = likeliest[: one.top_k or None]
    weights = softmax(scaled[kept])
    inside = np.concatenate([[0.0], np.cumsum(weights)[:-1]]) < one.top_p
    inside[0] = True
    kept = kept[inside]
    kept = kept[softmax(scaled)[kept] >= one.min_p * softmax(scaled).max()]
    probabilities = np.zeros_like(scaled)
    probabilities[kept] = softmax(scaled[kept])
    return probabilities


def assert_distributed(counts: NDArray[np.int64], probabilities: NDArray[np.float64]) -> None:
    """Only tokens that may come came, every one that may came, and chi-square is within five deviations."""
    total = counts.sum()
    assert not counts[probabilities == 0].any()
    assert counts[probabilities > 20 / total].all()
    often = probabilities * total >= 5
    square = (((counts - probabilities * total) ** 2)[often] / (probabilities * total)[often]).sum()
    freedom = max(1, often.sum() - 1)
    assert square < freedom + 5 * np.sqrt(2 * freedom)


# --- one row


def test_greedy_takes_the_likeliest() -> None:
    logits = rows(5, 300)
    greedy = [Draw(temperature=0.0, seed=seed, top_k=3, top_p=0.1, min_p=0.9) for seed in range(5)]
    assert draw(logits, greedy) == logits.argmax(axis=1).tolist()


@pytest.mark.parametrize(
    "one",
    [
        Draw(),
        Draw(temperature=0.5),
        Draw(temperature=2.0),
        Draw(top_k=1),
        Draw(top_k=4),
        Draw(top_k=4, temperature=0.4),
        Draw(top_p=0.0),
        Draw(top_p=0.6),
        Draw(top_p=0.9, temperature=1.7),
        Draw(min_p=0.2),
        Draw(min_p=1.0),
        Draw(min_p=0.1, temperature=1.6),
        Draw(top_k=6, top_p=0.7),
        Draw(top_k=10, top_p=0.9, min_p=0.15, temperature=1.3),
        Draw(top_p=0.8, min_p=0.05, temperature=0.8),
    ],
    ids=lambda one: f"t{one.temperature}-k{one.top_k}-p{one.top_p}-m{one.min_p}",
)
def test_the_right_tokens_as_often_as_they_should(one: Draw) -> None:
    """4,000 seeds over 16 tokens: the kept set is the reference's, and so are the frequencies in it."""
    logits = rows(1, 16, seed=3, scale=1.2)
    assert_distributed(many(logits, one, 4000), expected(logits, one))


@pytest.mark.parametrize("seed", range(12))
def test_random_filters(seed: int) -> None:
    chance = random.Random(seed)
    one = Draw(
        temperature=chance.choice([0.3, 0.8, 1.0, 1.5]),
        top_k=chance.choice([0, 2, 5, 11]),
        top_p=chance.choice([1.0, 0.95, 0.5]),
        min_p=chance.choice([0.0, 0.05, 0.3]),
    )
    logits = rows(1, 12, seed=seed)
    assert_distributed(many(logits, one, 1500), expected(logits, one))


def test_temperature_comes_before_the_filters() -> None:
    """Hot: 0.9 of the mass needs more tokens than cold. A filter on the untempered logits would keep the same set."""
    logits = rows(1, 16, seed=5)
    hot, cold = (many(logits, Draw(top_p=0.9, temperature=t), 3000) for t in (3.0, 0.3))
    assert (hot > 0).sum() > (cold > 0).sum()
    assert_distributed(hot, expected(logits, Draw(top_p=0.9, temperature=3.0)))


def test_a_wide_vocabulary_with_and_without_a_top_k() -> None:
    """The quick way (every filtered row has a small top_k) and the sorted way keep the same tokens."""
    logits = rows(1, 5000, seed=1, scale=4.0)
    quick = draw(np.repeat(logits, 64, axis=0), [Draw(top_k=20, top_p=0.8, seed=seed) for seed in range(64)])
    mixed = draw(
        np.repeat(logits, 65, axis=0),
        [*(Draw(top_k=20, top_p=0.8, seed=seed) for seed in range(64)), Draw(top_p=0.99999)],
    )
    assert quick == mixed[:64]


def test_tiny_temperature_is_nearly_greedy_and_finite() -> None:
    logits = rows(4, 50)
    assert draw(logits, [Draw(temperature=1e-9, seed=s) for s in range(4)]) == logits.argmax(axis=1).tolist()


# --- seeds and neighbours

SETTINGS = [
    Draw(seed=1),
    Draw(temperature=0.7, top_k=5, seed=2),
    Draw(temperature=0.0, seed=3),
    Draw(top_p=0.8, seed=4, frequency_penalty=0.7),
    Draw(min_p=0.1, seed=5),
    Draw(repetition_penalty=1.3, presence_penalty=0.2, seed=6, penalty_window=3),
    Draw(logit_bias={7: 3.0, 8: -3.0}, seed=7, logprobs=2),
    Draw(temperature=1.4, top_k=40, top_p=0.9, min_p=0.02, seed=8),
]


@pytest.mark.parametrize("shuffle", range(4))
def test_neighbours_change_nothing(shuffle: int) -> None:
    """Eight rows of eight settings, in any order, draw what each draws alone, token after token."""
    vocabulary, steps = 64, 6
    logits = [rows(8, vocabulary, seed=step) for step in range(steps)]
    order = list(range(8))
    random.Random(shuffle).shuffle(order)
    together = run([logits[step][order] for step in range(steps)], [SETTINGS[row] for row in order])
    for place, row in enumerate(order):
        alone = run([step[[row]] for step in logits], [SETTINGS[row]])
        assert together[place] == alone[0]


def run(logits: list[Floats], draws: list[Draw]) -> list[list[int]]:
    """Tokens by row; counts and windows are kept as the batch keeps them."""
    sampler = Sampler(logits[0].shape[1])
    sampler.place(draws, [[] for _ in draws])
    tokens: list[list[int]] = [[] for _ in draws]
    for step, values in enumerate(logits):
        drawn = sampler.sample(mx.array(values), [step] * len(draws))
        leaving = [
            one[step - draw.penalty_window] if draw.penalty_window and step >= draw.penalty_window else -1
            for one, draw in zip(tokens, draws, strict=True)
        ]
        sampler.count(drawn.tokens, mx.array(leaving) if sampler.windowed else None)
        for one, token in zip(tokens, drawn.tokens.tolist(), strict=True):  # type: ignore[arg-type]
            one.append(int(token))  # type: ignore[arg-type]
    return tokens


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    logits = rows(1, 1000, scale=0.1)
    tokens = [draw(logits, [Draw(seed=seed)], [index]) for seed in (1, 1, 2) for index in (0, 1)]
    assert tokens[0:2] == tokens[2:4]
    assert len({tuple(one) for one in tokens}) == 4


def test_a_rejoining_row_goes_on_where_it_was() -> None:
    """The noise depends on how many tokens a sequence has, so a new place in a new batch changes nothing."""
    logits = rows(1, 500, scale=0.1)
    assert draw(logits, [Draw(seed=9)], [17]) == draw(np.repeat(logits, 3, axis=0), [Draw(seed=9)] * 3, [3, 17, 4])[1:2]


# --- penalties and bias


def penalised(logits: Floats, one: Draw, generated: list[int]) -> NDArray[np.float64]:
    """OpenAI's frequency and presence penalty and CTRL's repetition penalty over the counted tokens."""
    values = logits.astype(np.float64).copy()
    counted = generated[-one.penalty_window :] if one.penalty_window else generated
    for token in set(counted):
        values[token] = values[token] / one.repetition_penalty if values[token] > 0 else (
            values[token] * one.repetition_penalty
        )  # fmt: skip
        values[token] -= counted.count(token) * one.frequency_penalty + one.presence_penalty
    for token, bias in one.logit_bias.items():
        values[token] += bias
    return values


@pytest.mark.parametrize("window", [0, 1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_penalties_are_the_references(seed: int, window: int) -> None:
    """Greedy over forty steps of random logits: each token is the arg max of the penalised reference."""
    kinds = [
        {"frequency_penalty": 0.6},
        {"presence_penalty": 1.5},
        {"repetition_penalty": 1.8},
        {"repetition_penalty": 0.7},
        {"frequency_penalty": -0.4},
        {"repetition_penalty": 1.2, "frequency_penalty": 0.3, "presence_penalty": 0.9, "logit_bias": {3: 1.0}},
        {},
    ]
    draws = [Draw(temperature=0.0, penalty_window=window, **kind) for kind in kinds]  # type: ignore[arg-type]
    logits = [rows(len(kinds), 12, seed=100 * seed + step, scale=1.0) for step in range(40)]
    for row, tokens in enumerate(run(logits, draws)):
        for step, token in enumerate(tokens):
            assert token == penalised(logits[step][row], draws[row], tokens[:step]).argmax()


def test_counts_survive_a_change_of_the_batch() -> None:
    """Rows that stay go on with their counts, a newcomer's history is counted, whoever left is forgotten."""
    one = Draw(temperature=0.0, frequency_penalty=1.0)
    sampler = Sampler(4)
    sampler.place([one, one], [[0, 0, 0], [1, 1]])
    sampler.count(mx.array([0, 2]))
    sampler.place([one, one, Draw(temperature=0.0)], [[0, 0, 0], [3], []], [1, None, None])
    flat = mx.zeros((3, 4)) + mx.array([0.5, 0.4, 0.3, 0.2])
    assert sampler.sample(flat, [0, 0, 0]).tokens.tolist() == [0, 0, 0]
    sampler.count(mx.array([0, 0, 0]))
    assert sampler.sample(flat, [0, 0, 0]).tokens.tolist() == [3, 1, 0]


def test_logit_bias_forces_and_forbids() -> None:
    logits = rows(3, 30)
    best = int(logits[1].argmax())
    draws = [Draw(logit_bias={4: 100.0}), Draw(temperature=0.0, logit_bias={best: -100.0}), Draw(temperature=0.0)]
    tokens = draw(logits, draws)
    assert tokens[0] == 4
    assert tokens[1] == np.argsort(-logits[1])[1]
    assert tokens[2] == logits[2].argmax()


def test_a_mask_forbids() -> None:
    logits = rows(2, 10)
    sampler = Sampler(10)
    sampler.place([Draw(seed=1), Draw(temperature=0.0)], [[], []])
    allowed = np.zeros((2, 10), dtype=bool)
    allowed[:, 6] = True
    assert sampler.sample(mx.array(logits), [0, 0], mx.array(allowed)).tokens.tolist() == [6, 6]


# --- numbers that are none, and log-probabilities


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_numbers_draw_minus_one(bad: float) -> None:
    """Sampled and greedy, wholly and in a single place; the rows beside them draw what they draw alone."""
    logits = rows(5, 40)
    draws = [Draw(seed=1), Draw(temperature=0.0), Draw(seed=3, top_p=0.5), Draw(temperature=0.0), Draw(seed=5, top_k=4)]
    alone = [draw(logits[[row]], [draws[row]])[0] for row in range(5)]
    logits[0] = logits[1] = bad
    logits[2, 17] = bad
    assert draw(logits, draws) == [-1, -1, -1, alone[3], alone[4]]


def test_forbidden_tokens_are_no_error() -> None:
    """A model may rule tokens out with minus infinity."""
    logits = rows(2, 20)
    logits[:, 3:] = -np.inf
    tokens = draw(logits, [Draw(seed=1), Draw(temperature=0.0)])
    assert all(0 <= token < 3 for token in tokens)


def test_logprobs_are_the_log_softmax_of_the_models_logits() -> None:
    """Of the raw logits: neither temperature nor bias nor a neighbour's wish changes them; only who asks gets them."""
    logits = rows(4, 50)
    draws = [
        Draw(seed=1, logprobs=0),
        Draw(seed=2),
        Draw(temperature=0.3, seed=3, logprobs=5, logit_bias={9: 50.0}),
        Draw(temperature=0.0, logprobs=2, frequency_penalty=1.0),
    ]
    sampler = Sampler(50)
    sampler.place(draws, [[], [], [], [5]])
    drawn = sampler.sample(mx.array(logits), [0] * 4)
    log_softmax = logits - np.log(np.exp(logits.astype(np.float64)).sum(axis=1, keepdims=True))
    assert sampler.asked == [0, 2, 3]
    chosen, ids, values = (np.array(array) for array in (drawn.chosen, drawn.top_ids, drawn.top_values))
    tokens = np.array(drawn.tokens)
    assert tokens[2] == 9
    np.testing.assert_allclose(chosen, [log_softmax[row, tokens[row]] for row in (0, 2, 3)], atol=1e-5)
    for place, row in enumerate((0, 2, 3)):
        assert set(ids[place]) == set(np.argsort(-logits[row])[:5])
        np.testing.assert_allclose(values[place], log_softmax[row, ids[place]], atol=1e-5)


# --- who decides


def test_the_request_decides_then_the_model_then_the_dialect() -> None:
    model, fallback = Sampling(temperature=0.6, top_k=20), Sampling(temperature=0.8, top_k=40, min_p=0.1)
    one = resolve(Sampling(temperature=0.2), model, fallback, 1000, None)
    assert (one.temperature, one.top_k, one.min_p, one.top_p) == (0.2, 20, 0.1, 1.0)
    neutral = resolve(Sampling(), Sampling(), Sampling(), 1000, 3)
    assert neutral == Draw(seed=neutral.seed, logprobs=3)


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ({"top_k": 0}, {"top_k": 0}),
        ({"top_k": -1}, {"top_k": 0}),
        ({"top_k": 100_000}, {"top_k": 0}),
        ({"top_k": 999}, {"top_k": 999}),
        ({"top_p": 5.0}, {"top_p": 1.0}),
        ({"min_p": 7.0}, {"min_p": 1.0}),
        ({"penalty_window": -1}, {"penalty_window": 0}),
        ({"seed": -1}, {"seed": 2**64 - 1}),
        ({"seed": 2**70 + 5}, {"seed": 5}),
    ],
)
def test_values_out_of_range_do_no_harm(given: dict[str, Any], resolved: dict[str, Any]) -> None:
    one = resolve(Sampling(**given), Sampling(), Sampling(), 1000, None)
    assert {name: getattr(one, name) for name in resolved} == resolved


def test_requests_without_a_seed_differ() -> None:
    seeds = {resolve(Sampling(), Sampling(), Sampling(), 10, None).seed for _ in range(50)}
    assert len(seeds) == 50
