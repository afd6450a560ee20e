"""Floors are what sorting the whole row says, however they are found, and only rows that ask for one pay for it."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from mlx_serve.daemon.engine.generate.sampling import filters
from mlx_serve.daemon.engine.generate.sampling.draw import Draw
from mlx_serve.daemon.engine.generate.sampling.filters import Filter, Floors, largest, nucleus_floor
from mlx_serve.daemon.engine.generate.sampling.sampler import Sampler

Floats = NDArray[np.float32]


def rows(count: int, vocabulary: int, seed: int = 0, scale: float = 2.0) -> Floats:
    return (np.random.default_rng(seed).normal(size=(count, vocabulary)) * scale).astype(np.float32)


def mass_above(row: Floats, floor: float) -> tuple[float, float]:
    """The probability of all that is greater than the floor, and with what ties with it, in float64."""
    weights = np.exp(row.astype(np.float64) - row.max())
    weights /= weights.sum()
    return float(weights[row > floor].sum()), float(weights[row >= floor].sum())


@pytest.mark.parametrize("vocabulary", [1, 2, 1000, 1024, 1025, 5003, 32000])
@pytest.mark.parametrize("scale", [0.01, 1.0, 6.0])
def test_the_nucleus_is_the_least_set_with_the_mass(vocabulary: int, scale: float) -> None:
    """At every size around the lengths that are sorted, flat or peaked: all above the floor is short of top_p, and the
    floor's own token brings it there. On GPUs sums of 32,000 float32 are good to 1e-4."""
    wanted = [0.0, 0.05, 0.5, 0.9, 0.95, 0.999]
    logits = rows(len(wanted), vocabulary, seed=vocabulary, scale=scale)
    found = np.array(nucleus_floor(mx.array(logits), mx.array(wanted)[:, None]))
    for row, top_p in enumerate(wanted):
        floor = found[row, 0]
        assert floor in logits[row]
        above, within = mass_above(logits[row], floor)
        assert above < top_p + 1e-4 or floor == logits[row].max()
        assert within > top_p - 1e-4


def test_a_nucleus_of_ties() -> None:
    """Equal logits in both halves of a parting are kept together; a row of nothing but ties is kept whole."""
    logits = np.zeros((3, 5000), dtype=np.float32)
    logits[1, ::2] = 4.0
    logits[2, 17] = 30.0
    assert np.array(nucleus_floor(mx.array(logits), mx.array([[0.3]] * 3)))[:, 0].tolist() == [0.0, 4.0, 30.0]


def test_a_nucleus_leaves_forbidden_tokens_alone() -> None:
    """Minus infinity has no mass, also where top_p needs all that there is."""
    logits = np.full((2, 5000), -np.inf, dtype=np.float32)
    logits[:, 3000:3004] = [3.0, 2.0, 1.0, 0.0]
    kept = np.array(Floors([Filter(0, 0, 0.6, 0.0), Filter(1, 0, 0.99999, 0.0)], 2, 5000).apply(mx.array(logits)))
    assert np.flatnonzero(np.isfinite(kept[0])).tolist() == [3000]
    assert np.flatnonzero(np.isfinite(kept[1])).tolist() == [3000, 3001, 3002, 3003]


@pytest.mark.parametrize("vocabulary", [70, 4095, 4096, 4097, 40_001])
@pytest.mark.parametrize("count", [64, 512, 1024])
def test_the_largest_by_blocks_are_the_largest(vocabulary: int, count: int) -> None:
    """Also with ties (logits rounded to quarters), where which of them is taken does not matter."""
    for logits in (rows(4, vocabulary), np.round(rows(4, vocabulary, seed=1) * 4) / 4):
        found = np.sort(np.array(largest(mx.array(logits), count)), axis=-1)
        np.testing.assert_array_equal(found, np.sort(logits, axis=-1)[:, -count:])


FILTERS = [
    {"top_k": 1},
    {"top_k": 40, "top_p": 0.9},
    {"top_k": 700, "top_p": 0.8, "min_p": 0.01},
    {"top_k": 3000},
    {"top_k": 2000, "top_p": 0.5},
    {"top_p": 0.95},
    {"top_p": 0.3, "min_p": 0.2},
    {"min_p": 0.1},
    {},
]


@pytest.mark.parametrize("found_by", ["cpu", "cuda"])
def test_a_rows_filter_does_not_depend_on_its_neighbours(found_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of filter beside every other keeps bit for bit what it keeps alone, by the host and by sorting."""
    monkeypatch.setattr(filters, "backend", lambda: found_by)
    logits = rows(len(FILTERS), 6000, seed=4)

    def kept(places: list[int]) -> Floats:
        wanted = [
            Filter(place, one.get("top_k", 0), one.get("top_p", 1.0), one.get("min_p", 0.0))
            for place, one in enumerate(FILTERS[which] for which in places)
        ]
        return np.array(Floors(wanted, len(places), 6000).apply(mx.array(logits[places])))

    together = kept(list(range(len(FILTERS))))
    backwards = kept(list(range(len(FILTERS)))[::-1])[::-1]
    np.testing.assert_array_equal(together, backwards)
    for which in range(len(FILTERS)):
        np.testing.assert_array_equal(together[which], kept([which])[0])


def test_the_host_and_sorting_keep_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two ways to a nucleus differ in what they cost. Peaked rows: a float's error decides nothing."""
    logits = mx.array(rows(6, 6000, seed=5, scale=4.0))
    wanted = [Filter(place, 0, top_p, 0.0) for place, top_p in enumerate([0.05, 0.3, 0.5, 0.8, 0.9, 0.95])]
    by_host = np.array(Floors(wanted, 6, 6000).apply(logits))
    monkeypatch.setattr(filters, "backend", lambda: "cuda")
    np.testing.assert_array_equal(by_host, np.array(Floors(wanted, 6, 6000).apply(logits)))


def test_a_row_pays_for_what_it_asks_and_no_other_row_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight rows, three of them drawn, one with top_p and one with top_k: how many rows each kind of work was done
    for."""
    worked: dict[str, list[int]] = {"noise": [], "nucleus": [], "largest": []}

    def watch(owner: Any, name: str, label: str) -> None:
        plain = getattr(owner, name)

        def counted(*arguments: Any) -> Any:
            worked[label].append(next(one.shape[0] for one in arguments if isinstance(one, mx.array)))
            return plain(*arguments)

        monkeypatch.setattr(owner, name, counted)

    watch(filters, "nucleus_floor", "nucleus")
    watch(filters, "largest", "largest")
    watch(Sampler, "_gumbel", "noise")
    sampler = Sampler(6000)
    greedy = [Draw(temperature=0.0, top_p=0.5, top_k=3) for _ in range(5)]
    sampler.place([*greedy, Draw(seed=1), Draw(seed=2, top_p=0.9), Draw(seed=3, top_k=9)], [[]] * 8)
    logits = rows(8, 6000)
    tokens = sampler.sample(mx.array(logits), [0] * 8).tokens
    assert worked == {"noise": [3], "nucleus": [1], "largest": [1]}
    assert np.array(tokens)[:5].tolist() == logits[:5].argmax(axis=1).tolist()
    for draws in worked.values():
        draws.clear()
    sampler.place(greedy, [[]] * 5)
    mx.eval(sampler.sample(mx.array(logits[:5]), [0] * 5).tokens)
    assert worked == {"noise": [], "nucleus": [], "largest": []}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none_harm_no_neighbour(bad: float) -> None:
    """Scattered over a row, and all of it, at a width where rows are parted and blocks are picked."""
    logits = rows(6, 30_000, seed=8)
    draws = [Draw(seed=seed, top_p=0.9) for seed in range(3)] + [Draw(seed=seed, top_k=20) for seed in range(3)]

    def tokens() -> list[int]:
        sampler = Sampler(30_000)
        sampler.place(draws, [[]] * 6)
        return [int(token) for token in np.array(sampler.sample(mx.array(logits), [0] * 6).tokens)]

    good = tokens()
    logits[0, ::7] = logits[1] = logits[3, ::7] = logits[4] = bad
    assert tokens() == [-1, -1, good[2], -1, -1, good[5]]


def test_only_a_nucleus_that_the_host_finds_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(*draws: Draw) -> bool:
        sampler = Sampler(6000)
        sampler.place(draws, [[]] * len(draws))
        return sampler.waits

    nucleus, others = Draw(top_p=0.9), (Draw(temperature=0.0, top_p=0.9), Draw(), Draw(top_k=9, top_p=0.9))
    monkeypatch.setattr(filters, "backend", lambda: "cpu")
    assert waits(*others, nucleus) and not waits(*others) and not waits()
    monkeypatch.setattr(filters, "backend", lambda: "cuda")
    assert not waits(nucleus)
