"""Rows with pages of their own: each keeps the logits it has alone, and nobody is copied for another one."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import KVCache, make_prompt_cache
from support.twin_rows import DEAR, Twins, play

from mlx_serve.daemon.engine.cache import capacity
from mlx_serve.daemon.engine.cache.capacity import FEWEST_PAGES, MOST_MORE_PAGES, Costs, RowBytes, needed_pages, pages
from mlx_serve.daemon.engine.cache.paged_rows import PagedRows
from mlx_serve.daemon.engine.cache.pages import NOBODYS, Pages
from mlx_serve.daemon.engine.cache.ragged import Ragged
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.model.trial import ragged_works
from mlx_serve.daemon.engine.prefix import layers
from mlx_serve.daemon.engine.shapes import Shapes


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "PAGE", 8)


@pytest.fixture
def attention_by_pages(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Attention that takes `Ragged` as the kernel for NVIDIA GPUs does: row by row, page by page. Gives for each call
    whether it was told of pages, and that the mask says the same."""
    plain: Any = mx.fast.scaled_dot_product_attention
    found: list[bool] = []

    def attention(q: mx.array, k: mx.array, v: mx.array, *, mask: Any = None, **options: Any) -> mx.array:
        if not isinstance(mask, Ragged):
            return plain(q, k, v, mask=mask, **options)
        assert mask.table is not None and mask.table.shape[0] == q.shape[0]
        rows = []
        for row, (count, pages_of_row) in enumerate(zip(mask.counts.tolist(), mask.table.tolist(), strict=True)):
            taken = pages_of_row[: needed_pages(count)]
            own = [mx.concatenate([buffer[page] for page in taken], 1)[None, :, :count] for buffer in (k, v)]
            rows.append(plain(q[row : row + 1], *own, **options))
        found.append(mask.mask()[:, 0, 0].sum(-1).tolist() == mask.counts.tolist())
        return mx.concatenate(rows)

    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", attention)
    return found


def paged(model: LanguageModel, **options: Any) -> BatchedForward:
    return BatchedForward(model.network, DEAR, paged=True, **options)


@pytest.mark.parametrize("seed", range(6))
def test_every_row_has_its_pages(seed: int) -> None:
    """Whatever joins, grows and leaves: as many as it needs, at their places until all are moved together, none of
    anybody else's but whole ones of what both begin with; and buffers are no larger than what was promised for the most
    that were ever needed at once."""
    chance, found, lengths, most = random.Random(seed), Pages(), [], 0
    for _ in range(300):
        kind = chance.random()
        before, moves = [list(row) for row in found.rows], found.moves
        if kind < 0.3:
            new = [chance.randrange(90) for _ in range(chance.randint(1, 3))]
            alike, like = chance.choice([0, min(new)]), chance.choice([None, *range(len(lengths))])
            if like is not None:
                alike = min(alike, lengths[like])
            found.join(new, alike, like)
            lengths += new
            assert found.rows[: len(before)] == before
            first = found.rows[len(before) if like is None else like]
            for row, common in zip(found.rows[len(before) :], found.common, strict=True):
                assert row[:common] == first[:common] and (row is first or common == alike // capacity.PAGE)
        elif kind < 0.6:
            lengths = [length + 1 for length in lengths]
            found.hold(lengths)
            assert [row[: len(old)] for row, old in zip(found.rows, before, strict=True)] == before
        elif lengths:
            staying = chance.sample(range(len(lengths)), chance.randrange(len(lengths) + 1))
            found.leave(staying)
            lengths = [lengths[row] for row in staying]
            if found.moves == moves:
                assert found.rows == [before[row] for row in staying]
            else:
                assert [[found.kept[page] for page in row] for row in found.rows] == [before[row] for row in staying]
        used = {page for row in found.rows for page in row}
        most = max(most, len(used))
        assert all(NOBODYS < page < found.total for page in used) and len(set(found._free)) == len(found._free)
        assert used | set(found._free) == set(range(1, found.total)) and not used & set(found._free)
        for place, (row, length) in enumerate(zip(found.rows, lengths, strict=True)):
            others = {page for other in (*found.rows[:place], *found.rows[place + 1 :]) for page in other}
            assert len(set(row)) == len(row) and found.place(place, length) not in others, "where it writes next"
        assert all(len(row) == needed_pages(length + 1) for row, length in zip(found.rows, lengths, strict=True))
        assert found.total <= pages(most) and (not used or 2 * pages(len(used)) > found.total or found.moves == moves)
        if lengths:
            table = found.table(len(lengths) + 2)
            assert table.tolist() == [row + [NOBODYS] * (table.shape[1] - len(row)) for row in [*found.rows, [], []]]
    assert found.moves


def test_neighbours_are_taken_as_such() -> None:
    """Pages of a row in a row are a slice; scattered ones, and those of rows of unlike lengths, are numbers. What was
    left comes back in order."""
    found = Pages()
    found.join([20, 5, 12, 70])
    assert found.rows[:3] == [[1, 2, 3], [4], [5, 6]]
    assert found.first(0, [20], 0, 3) == slice(1, 4) and found.part(0, 1, 3) == slice(2, 4)
    assert found.first(1, [5, 12], 0, 2).tolist() == [4, NOBODYS, 5, 6]
    found.leave([1, 2, 3])
    found.join([39])
    assert found.rows[3] == [1, 2, 3, 16, 17]
    assert (
        found.first(3, [39], 0, 5).tolist() == [1, 2, 3, 16, 17]
        and found.first(3, [39], 1, 4).tolist() == [2, 3, 16]
        and found.part(3, 0, 3) == slice(1, 4)
    )


@pytest.mark.parametrize("ragged", [False, True])
def test_rows_that_begin_alike_have_whole_pages_in_common(
    llama: LanguageModel, attention_by_pages: list[bool], ragged: bool
) -> None:
    """What all begin with is there once, be it of several prompts or of one that has several answers; each row has the
    logits that it has alone, also when the first of them has left, and all have moved."""
    twins = Twins(llama, 9, paged(llama, ragged=ragged))
    twins.join(30, 41, 29, alike=28)
    assert len({page for row in _pages(twins).rows for page in row}) == 3 + 1 + 3 + 1
    twins.join(26, choices=4, alike=26)
    assert len({page for row in _pages(twins).rows for page in row}) == 8 + 3 + 4
    assert [len(row) for row in _pages(twins).rows] == [4, 6, 4, 4, 4, 4, 4]
    for leaving in (0, 2, 3, 1, 1):
        twins.step()
        twins.leave(leaving)
    assert _pages(twins).moves
    for _ in range(12):
        twins.step()
    twins.leave(0, 1)
    assert twins.forward.nbytes == 0


def test_buffers_grow_seldom() -> None:
    """By half, or by what 256 pages are."""
    sizes = [pages(needed) for needed in range(1, 4000)]
    assert all(needed < size <= max(FEWEST_PAGES, 1.5 * needed + 2) for needed, size in enumerate(sizes, 1))
    assert sizes == sorted(sizes) and len(set(sizes)) <= 30
    assert max(after - before for before, after in pairwise(sizes)) == MOST_MORE_PAGES


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("shapes", [Shapes(), Shapes(few=True)])
def test_random_joins_and_leaves(llama: LanguageModel, seed: int, shapes: Shapes) -> None:
    """With masks, as where attention knows no pages; rows that fill a batch up write into nobody's page."""
    play(Twins(llama, seed, paged(llama, shapes=shapes)), moves=40, longest=60, alike=True)


def test_attention_finds_rows_by_their_pages(
    loaded: Callable[[str], LanguageModel], attention_by_pages: list[bool]
) -> None:
    """What it is told gives what a mask would."""
    model = loaded("qwen3")
    assert ragged_works(model.network, paged=True)
    play(Twins(model, 6, paged(model, ragged=True)), moves=30, longest=60, alike=True)
    assert len(attention_by_pages) > 10 and all(attention_by_pages)


def test_nobody_is_copied_for_another_row(llama: LanguageModel) -> None:
    """A long row joins short ones, and short ones a long one, in the pages that there are; one that leaves leaves the
    others where they are. What is taken never exceeds what was promised."""
    twins = Twins(llama, 4, paged(llama))
    promised = Costs(RowBytes(_column(twins)), 0, paged=True)
    for length in (330, 5, 9):
        twins.join(length)
    buffers, places = _buffers(twins), [list(row) for row in _pages(twins).rows]
    twins.leave(1)
    twins.join(40, 3)
    twins.step()
    assert _buffers(twins) == buffers and _pages(twins).rows[:2] == [places[0], places[2]]
    assert twins.forward.nbytes <= capacity.capacity([330, 5, 9], promised)
    while len(twins.plain) > 1:
        twins.leave(0)
    assert twins.forward.nbytes < capacity.capacity([100], promised), "memory goes back once half of it is free"
    twins.step()
    twins.leave(0)
    assert twins.forward.nbytes == 0


def _column(twins: Twins) -> int:
    caches = make_prompt_cache(twins.network)
    twins.network(mx.zeros((1, 1), dtype=mx.int32), cache=caches)
    return sum(2 * cache.keys.shape[1] * cache.keys.shape[3] * cache.keys.itemsize for cache in caches)


def _buffers(twins: Twins) -> list[tuple[int, ...]]:
    return [layer.keys.shape for layer in twins.forward._buckets[0].layers]


def _pages(twins: Twins) -> Pages:
    found = twins.forward._buckets[0]._positions.pages
    assert isinstance(found, Pages)
    return found


def test_a_row_is_taken_and_cut_over_its_pages(llama: LanguageModel) -> None:
    """As plain caches have it, wherever the cuts are; and it joins again."""
    twins = Twins(llama, 5, paged(llama))
    for length in (3, 20, 50):
        twins.join(length)
    twins.step()
    rows = twins.forward.held(2)[0]
    assert all(isinstance(layer, PagedRows) and layers.by_columns(layer) for layer in rows)
    for start, stop in ((0, 8), (8, 16), (2, 7), (5, 33), (0, 51), (50, 51), (40, 48)):
        cut, plain = (layers.cut(caches, row, start, stop) for caches, row in ((rows, 2), (twins.plain[2], 0)))
        assert cut is not None and plain is not None
        for ours, theirs in zip(layers.arrays(cut), layers.arrays(plain), strict=True):
            np.testing.assert_allclose(np.array(ours), np.array(theirs), atol=1e-5)
    taken, alone = twins.forward.take(2), twins.plain[2]
    assert all(type(cache) is KVCache and cache.offset == 51 for cache in taken)
    twins.leave(2)
    twins.forward.join(taken, [(0, 51)])
    twins.plain.append(alone)
    twins.step()


def test_pages_that_are_only_promised_are_not_moved(llama: LanguageModel) -> None:
    """Rows of one token have pages before any buffer has: those who stay find theirs when the others leave."""
    twins = Twins(llama, 6, paged(llama))
    twins.join(30)
    empty = make_prompt_cache(twins.network)
    for _ in range(40):
        twins.forward.join(empty, [(0, 0)])
        twins.plain.append(make_prompt_cache(twins.network))
    twins.leave(*range(2, 41))
    assert _pages(twins).moves
    for _ in range(9):
        twins.step()


def test_steps_can_be_taken_back(llama: LanguageModel) -> None:
    """At the border of a page too."""
    forward = paged(llama)
    caches = make_prompt_cache(llama.network)
    llama.network(mx.array([[5, 6, 7, 8, 9, 10, 11]]), cache=caches)
    forward.join(caches, [(0, 7)])
    assert forward.rewinds and not forward.rearranges
    token = Inputs(mx.array([[4]]))
    first = np.array(forward(token))
    forward.rewind()
    np.testing.assert_allclose(np.array(forward(token)), first, atol=1e-5)
