"""A row taken out of the batch is what the row was: it goes on bit for bit the same, and shares nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache, make_prompt_cache
from numpy.typing import NDArray
from reference.architectures import VOCABULARY
from support.extent import LONG

from mlx_serve.daemon.engine.cache.positions import Positions
from mlx_serve.daemon.engine.cache.rows import rows_like
from mlx_serve.daemon.engine.model.forward import BatchedForward, Forward, SoloForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.model.load import LanguageModel

NAMES = ["llama", "gemma3", "qwen3_next", "qwen3_5"]
TOLERANCE = 1e-4
DEAR = 10**12
Floats = NDArray[np.float32]


def tokens(count: int, seed: int) -> list[int]:
    chance = random.Random(seed)
    return [chance.randrange(VOCABULARY) for _ in range(count)]


def prefilled(network: Any, prompt: list[int], chunk: int = 1000) -> list[Any]:
    caches = make_prompt_cache(network)
    for start in range(0, len(prompt), chunk):
        network(mx.array([prompt[start : start + chunk]]), cache=caches)
    return caches


def filled(network: Any, lengths: list[int], forward: Forward, seed: int = 0) -> None:
    for row, length in enumerate(lengths):
        prompt = tokens(length, 100 * seed + row)
        forward.join(prefilled(network, prompt, chunk=7 if length % 2 else 1000), [(0, length)])


def steps(forward: Any, rows: int, count: int, seed: int = 0) -> Floats:
    """The logits of so many steps, (steps, rows, vocabulary)."""
    return np.stack(
        [np.array(forward(Inputs(mx.array(tokens(rows, 1000 * seed + step))[:, None]))) for step in range(count)]
    )


def more(network: Any, caches: list[Any], seed: int = 5) -> Floats:
    """Prefill five more tokens and decode two: the logits."""
    first = network(mx.array([tokens(5, seed)]), cache=caches)[0, -1]
    rest = [network(mx.array([[token]]), cache=caches)[0, -1] for token in tokens(2, seed + 1)]
    return np.stack([np.array(one) for one in (first, *rest)])


@pytest.mark.parametrize("name", NAMES)
def test_rows_join_again_bit_for_bit(name: str, loaded: Callable[[str], LanguageModel]) -> None:
    """Rows of 1 to 50 tokens (gemma3's window is 16: unfilled, just filled and wrapped), after neighbours have left and
    moved: all taken into a new batch, every logit of the next steps is the same number."""
    network = loaded(name).network
    forward = BatchedForward(network, DEAR)
    filled(network, [1, 9, 15, 16, 17, 40, 31, 50], forward)
    steps(forward, 8, 3)
    forward.leave([1])
    forward.leave([4])
    steps(forward, 6, 4, seed=1)
    again = BatchedForward(network, DEAR)
    lengths = list(forward._buckets[0].lengths)
    for row, length in enumerate(lengths):
        again.join(forward.take(row), [(0, length)])
    np.testing.assert_array_equal(steps(again, 6, 20, seed=2), steps(forward, 6, 20, seed=2))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [1, 15, 16, 17, 33, 60] if LONG else [15, 17, 60])
def test_prefill_goes_on_bit_for_bit(name: str, length: int, loaded: Callable[[str], LanguageModel]) -> None:
    """What was joined and taken is prefilled on exactly as if it had never been in a batch, beside whatever neighbours
    and after they moved; a join and a take of that again change nothing."""
    network = loaded(name).network
    prompt = tokens(length, 3)
    forward = BatchedForward(network, DEAR)
    filled(network, [5, 20], forward, seed=1)
    forward.join(prefilled(network, prompt), [(0, length)])
    forward.leave([0])
    expected = more(network, prefilled(network, prompt))
    once = forward.take(0)
    twice = BatchedForward(network, DEAR)
    filled(network, [44], twice, seed=2)
    twice.join(once, [(0, length)])
    for caches in (forward.take(0), twice.take(1), once):
        np.testing.assert_array_equal(more(network, caches), expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_decoded_row_is_prefilled_on(name: str, loaded: Callable[[str], LanguageModel]) -> None:
    """Tokens that came one by one in a batch are in the taken caches as if they had been prefilled."""
    network = loaded(name).network
    forward = BatchedForward(network, DEAR)
    filled(network, [12, 30], forward)
    steps(forward, 2, 10)
    for row, length in enumerate((12, 30)):
        prompt = tokens(length, row) + [tokens(2, step)[row] for step in range(10)]
        expected = more(network, prefilled(network, prompt))
        np.testing.assert_allclose(more(network, forward.take(row)), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_taken_row_is_a_copy(name: str, batched: bool, loaded: Callable[[str], LanguageModel]) -> None:
    """The batch goes on as if nothing had been taken, also while the copy is used; and the copy does not change while
    the batch steps, its row leaves and another moves into its place."""
    network = loaded(name).network

    def made() -> Forward:
        forward: Forward = BatchedForward(network, DEAR) if batched else SoloForward(network)
        filled(network, [3, 18, 11], forward)
        return forward

    untouched = steps(made(), 3, 6)
    forward = made()
    before, kept, late = (forward.take(1) for _ in range(3))
    expected = more(network, before)
    np.testing.assert_array_equal(steps(forward, 3, 6), untouched)
    np.testing.assert_array_equal(more(network, kept), expected)
    forward.leave([1])
    steps(forward, 2, 3, seed=4)
    np.testing.assert_array_equal(more(network, late), expected)


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [0, 9, 21] if LONG else [0, 21])
def test_many_rows_of_one_prefill(
    name: str, length: int, batched: bool, loaded: Callable[[str], LanguageModel]
) -> None:
    """The same caches join three times and each row goes its own way, as each does that was prefilled by itself; the
    caches that they came from can still be prefilled on."""
    network = loaded(name).network
    prompt = tokens(length, 8)
    forward: Forward = BatchedForward(network, DEAR) if batched else SoloForward(network)
    source = prefilled(network, prompt)
    for _ in range(3):
        forward.join(source, [(0, length)])
    together = steps(forward, 3, 8)
    for row in range(3):
        alone = prefilled(network, prompt)
        for step in range(8):
            expected = np.array(network(mx.array([[tokens(3, step)[row]]]), cache=alone)[0, -1])
            np.testing.assert_allclose(together[step, row], expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(more(network, source), more(network, prefilled(network, prompt)))


@pytest.mark.parametrize("name", NAMES)
def test_a_taken_row_holds_what_it_needs_and_no_more(name: str, loaded: Callable[[str], LanguageModel]) -> None:
    """Plain classes; as many columns as tokens, or as the window has; a row without tokens gives empty caches."""
    network = loaded(name).network
    forward = BatchedForward(network, DEAR)
    filled(network, [40, 6], forward)
    forward.join(make_prompt_cache(network), [(0, 0)])
    for row, length in enumerate((40, 6, 0)):
        caches = forward.take(row)
        assert [type(cache) for cache in caches] == [type(cache) for cache in make_prompt_cache(network)]
        for cache in caches:
            if length == 0:
                assert cache.empty()
            elif isinstance(cache, RotatingKVCache):
                assert cache.keys.shape[2] == min(length, cache.max_size)
                assert (cache.offset, cache._idx) == (length, cache.keys.shape[2])
            elif isinstance(cache, KVCache):
                assert cache.keys.shape[2] == cache.values.shape[2] == cache.offset == length
            else:
                assert isinstance(cache, ArraysCache)
                assert {state.shape[0] for state in cache.cache} == {1}


def test_a_list_of_caches_is_taken_whole() -> None:
    """Attention, a ring and a recurrent state in one layer: the row's own, oldest first."""
    positions = Positions()
    layer = rows_like(CacheList(KVCache(), RotatingKVCache(4), ArraysCache(2)), positions)
    for row in range(2):
        source = CacheList(KVCache(), RotatingKVCache(4), ArraysCache(2))
        keys = (mx.arange(6) + 10.0 * row).reshape(1, 1, 6, 1)
        source[0].update_and_fetch(keys, keys)
        source[1].update_and_fetch(keys, -keys)
        source[2][0] = mx.full((1, 3), row + 1.0)
        layer.join(row, source, 0, [6])
        positions.lengths.append(6)
        positions.begin()
    taken = layer.take(1, 6)
    assert type(taken) is CacheList
    assert taken[0].keys[0, 0, :, 0].tolist() == [10, 11, 12, 13, 14, 15]
    assert taken[1].keys[0, 0, :, 0].tolist() == [12, 13, 14, 15]
    assert taken[1].values[0, 0, :, 0].tolist() == [-12, -13, -14, -15]
    assert taken[2][0].tolist() == [[2.0, 2.0, 2.0]]
    assert taken[2][1] is None


def test_a_row_of_a_model_without_batches(llama: LanguageModel) -> None:
    """Row by row, a row joins again with what it had, to the bit."""
    forward = SoloForward(llama.network)
    filled(llama.network, [4, 13], forward)
    steps(forward, 2, 3)
    again = SoloForward(llama.network)
    for row, length in enumerate((7, 16)):
        again.join(forward.take(row), [(0, length)])
    np.testing.assert_array_equal(steps(again, 2, 5, seed=1), steps(forward, 2, 5, seed=1))
