"""How wide buffers are and who shares them: plain arithmetic, and what the real buffers take."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise

import mlx.core as mx
import pytest
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache, make_prompt_cache

from mlx_serve.daemon.engine.cache.attention_rows import AttentionRows
from mlx_serve.daemon.engine.cache.capacity import (
    MOST_GROWTH,
    STEP,
    Costs,
    RowBytes,
    buckets,
    capacity,
    columns,
    rearranged,
    rows,
)
from mlx_serve.daemon.engine.cache.positions import Positions
from mlx_serve.daemon.engine.cache.rows import row_bytes
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.model.load import LanguageModel


def test_buffers_widen_by_half() -> None:
    """Multiples of 256 that hold what they should; half as wide again each time, and never 4,096 wider at once."""
    widths = sorted({columns(tokens) for tokens in range(40_000)})
    assert widths[:7] == [256, 512, 768, 1280, 2048, 3072, 4608]
    assert all(width % STEP == 0 for width in widths)
    for narrow, wide in pairwise(widths):
        assert columns(narrow) == narrow
        assert columns(narrow + 1) == wide
        assert wide - narrow <= MOST_GROWTH
        assert wide - narrow >= min(narrow / 2, MOST_GROWTH)


def test_rows_double() -> None:
    assert [rows(count) for count in (0, 1, 2, 3, 4, 5, 8, 9)] == [0, 1, 2, 4, 4, 8, 8, 16]


def test_what_a_row_takes() -> None:
    """100 bytes a token, a ring of 300 columns, a state: a ring stops growing, a state has no spare rows."""
    row = RowBytes(100, ((300, 10),), state=7)
    assert row.buffers(1, 256) == 25_600 + 2_560 + 7
    assert row.buffers(3, 512) == 4 * (51_200 + 3_000) + 3 * 7
    assert row.buffers(0, 512) == 0


def partitions(items: list[int]) -> Iterator[list[list[int]]]:
    """Every way to put the items into at most three groups."""
    if not items:
        yield []
        return
    head, *rest = items
    for groups in partitions(rest):
        for place in range(len(groups)):
            yield [*groups[:place], [head, *groups[place]], *groups[place + 1 :]]
        if len(groups) < 3:
            yield [[head], *groups]


@pytest.mark.parametrize("seed", range(8))
def test_no_way_to_share_is_cheaper(seed: int) -> None:
    """Seven rows of random lengths: of all ways to put them into up to three buckets none costs less."""
    chance = random.Random(seed)
    lengths = [chance.choice([0, 100, 200, 700, 1500, 4000, 20_000]) for _ in range(7)]
    costs = Costs(RowBytes(8, ((512, 4),)), forward=chance.choice([0, 2_000, 10_000, 80_000, 10**7]))

    def total(groups: list[list[int]]) -> int:
        return sum(costs.step(lengths[row] for row in group) for group in groups)

    found = buckets(dict(enumerate(lengths)), costs)
    assert sorted(row for group in found for row in group) == list(range(7))
    assert total(found) == min(total(groups) for groups in partitions(list(range(7))))


def test_rows_of_like_length_stay_together() -> None:
    """Whatever a pass costs, nothing is won by parting rows whose buffers are equally wide."""
    assert buckets({4: 200, 3: 1, 7: 255, 5: 130}, Costs(RowBytes(1000), forward=0)) == [[7, 4, 5, 3]]
    assert buckets({}, Costs(RowBytes(1000), forward=0)) == []


def test_a_long_row_gets_a_bucket_where_that_pays() -> None:
    """Seven rows of 200 beside one of 16,384: padding of about 7 * 18,688 columns against what a pass costs."""
    lengths = dict(enumerate([200, 200, 200, 16_384, 200, 200, 200, 200]))
    padding = 7 * (columns(16_385) - 256) * 8
    assert buckets(lengths, Costs(RowBytes(8), padding - 1)) == [[3], [0, 1, 2, 4, 5, 6, 7]]
    assert len(buckets(lengths, Costs(RowBytes(8), padding + 1))) == 1


def test_rows_are_not_moved_for_little() -> None:
    """Between half a pass saved and half a pass lost, both arrangements stay as they are."""
    lengths, row = {0: 200, 1: 5000}, RowBytes(8)
    padding = (columns(5001) - 256) * 8
    one, two = [[1, 0]], [[1], [0]]
    for share, kept in ((0.4, (one, one)), (0.8, (one, two)), (1.2, (one, two)), (1.6, (two, two))):
        costs = Costs(row, forward=int(padding / share))
        assert (rearranged(one, lengths, costs), rearranged(two, lengths, costs)) == kept


def test_a_newcomer_goes_where_it_adds_least() -> None:
    """Beside rows of its length; alone where there is nobody; in a bucket of its own only where that is worth it."""
    costs = Costs(RowBytes(8), forward=50_000)
    present, lengths = [[1], [2, 3]], {1: 20_000, 2: 200, 3: 100}
    assert rearranged(present, lengths | {4: 150}, costs) == [[1], [2, 3, 4]]
    assert rearranged(present, lengths | {4: 19_000}, costs) == [[1, 4], [2, 3]]
    assert rearranged(present, lengths | {4: 1000}, costs) == [[1], [2, 3, 4]]
    assert rearranged(present, lengths | {4: 9000}, costs) == [[1], [4], [2, 3]]
    assert rearranged([], {9: 30}, costs) == [[9]]
    assert present == [[1], [2, 3]]


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next"])
def test_capacity_is_what_the_buffers_take(name: str, loaded: Callable[[str], LanguageModel]) -> None:
    """With full attention, windows and states, in one bucket: to the byte, after each join and step."""
    network = loaded(name).network
    forward = BatchedForward(network, dear := 10**12)
    lengths: list[int] = []
    for length in (700, 20, 255, 1, 600, 30):
        caches = make_prompt_cache(network)
        network(mx.zeros((1, length), dtype=mx.int32), cache=caches)
        forward.join(caches, [(0, length)])
        lengths.append(length)
        costs = Costs(row_bytes(caches), dear)
        assert forward.nbytes == capacity(lengths, costs)
        if length == 255:
            mx.eval(forward(Inputs(mx.zeros((len(lengths), 1), dtype=mx.int32))))
            assert forward.nbytes == capacity(lengths, costs)
            lengths = [length + 1 for length in lengths]


def test_capacity_of_several_buckets(llama: LanguageModel) -> None:
    """Two long rows and three short ones, where the weights are light beside what padding would take."""
    network = llama.network
    forward = BatchedForward(network, llama.weight_bytes)
    lengths = [5000, 4700, 30, 250, 400]
    for length in lengths:
        caches = make_prompt_cache(network)
        network(mx.zeros((1, length), dtype=mx.int32), cache=caches)
        forward.join(caches, [(0, length)])
    costs = Costs(row_bytes(caches), llama.weight_bytes)
    assert forward.nbytes == capacity(lengths, costs) == (2 * 6912 + 4 * 512) * llama.costs.row.token


def test_bytes_are_read_off_plain_caches() -> None:
    """Of any number of rows, lists included: two key-value heads of width 4 and 3 in float16, a ring, two states."""
    keys, values = mx.zeros((3, 2, 5, 4), dtype=mx.float16), mx.zeros((3, 2, 5, 3), dtype=mx.float16)
    full, ring, states = KVCache(), RotatingKVCache(16), ArraysCache(3)
    for cache in (full, ring):
        cache.update_and_fetch(keys, values)
    states[0], states[2] = mx.zeros((3, 10)), mx.zeros((3, 2, 2))
    assert row_bytes([full, CacheList(full, ring), states, ring]) == RowBytes(2 * 28, ((16, 2 * 28),), 56)


def test_a_growing_row_is_copied_seldom() -> None:
    """3,000 tokens, one at a time: five widenings, where a column more every 256 tokens would make eleven."""
    positions = Positions()
    layer = AttentionRows(positions)
    positions.lengths.append(0)
    widths = []
    for _ in range(3000):
        positions.begin()
        layer.update_and_fetch(mx.ones((1, 1, 1, 1)), mx.ones((1, 1, 1, 1)))
        assert layer.keys is not None
        widths.append(layer.keys.shape[2])
        positions.advance()
        if positions.lengths[0] % 100 == 0:
            mx.eval(layer.keys)
    assert sorted(set(widths)) == [256, 512, 768, 1280, 2048, 3072]
