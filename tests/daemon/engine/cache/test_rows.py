"""Rows that join, leave and move: every row's logits are what mlx-lm's plain caches give, whatever happened before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, QuantizedKVCache, RotatingKVCache, make_prompt_cache
from support.extent import LONG
from support.twin_rows import DEAR, Twins, play

from mlx_serve.daemon.engine.cache.attention_rows import AttentionRows
from mlx_serve.daemon.engine.cache.positions import Positions
from mlx_serve.daemon.engine.cache.ragged import Ragged
from mlx_serve.daemon.engine.cache.rows import rows_like
from mlx_serve.daemon.engine.model.bucket import without
from mlx_serve.daemon.engine.model.forward import BatchedForward, SoloForward
from mlx_serve.daemon.engine.model.load import LanguageModel, load
from mlx_serve.daemon.engine.model.trial import ragged_works
from mlx_serve.daemon.protocol import Load

MOVES = [("llama", 0), ("llama", 1), ("qwen3", 2), ("gemma3", 3), ("gemma3", 4), ("qwen3_next", 5), ("qwen3_5", 6)]


@pytest.mark.parametrize(
    ("name", "seed"),
    MOVES if LONG else MOVES[1::2],
)
def test_random_joins_and_leaves(name: str, seed: int, loaded: Callable[[str], LanguageModel]) -> None:
    """Full attention, rings that wrap, and recurrent states, in groups and alone, prefilled in chunks or whole."""
    assert loaded(name).batchable
    play(Twins(loaded(name), seed), moves=20, longest=40)


def test_a_model_that_cannot_be_batched(llama: LanguageModel) -> None:
    """Row by row behind the same face."""
    play(Twins(llama, 5, SoloForward(llama.network)), moves=20, longest=20)
    with pytest.raises(ValueError, match="one sequence at a time"):
        SoloForward(llama.network).join([], [(1, 3)])


@pytest.fixture
def counting_attention(monkeypatch: pytest.MonkeyPatch) -> list[mx.array]:
    """Attention that takes `Ragged` as the kernel for NVIDIA GPUs does: row i sees its first counts[i] columns. Gives
    for each call whether the mask says the same."""
    plain: Any = mx.fast.scaled_dot_product_attention
    same: list[mx.array] = []

    def attention(q: mx.array, k: mx.array, v: mx.array, *, mask: Any = None, **options: Any) -> mx.array:
        if isinstance(mask, Ragged):
            k, v = k[: q.shape[0]], v[: q.shape[0]]  # of whole buffers
            columns = (mx.arange(k.shape[2])[None] < mask.counts[:, None])[:, None, None]
            cut = mask.cut(k)
            same.append(mx.array_equal(mask.mask(), columns[..., : cut.shape[2]]))
            same.append(mx.array_equal(cut, k[:, :, : max(mask.lengths)]))
            mask = columns
        return plain(q, k, v, mask=mask, **options)

    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", attention)
    return same


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next"])
def test_counts_in_place_of_masks(
    name: str, loaded: Callable[[str], LanguageModel], counting_attention: list[mx.array]
) -> None:
    """What the kernel for ragged rows is told is what a mask would say, in rings too."""
    model = loaded(name)
    assert ragged_works(model.network)
    play(Twins(model, 6, BatchedForward(model.network, DEAR, ragged=True)), moves=20, longest=40)
    assert len(counting_attention) > 10
    assert all(counting_attention)


def test_models_that_do_their_own_masking_get_masks(llama: LanguageModel) -> None:
    """Without attention that understands counts, the probe says so."""
    assert not ragged_works(llama.network)


def test_a_join_of_nothing(loaded: Callable[[str], LanguageModel]) -> None:
    """A prompt of one token joins with empty caches, first or last, and finds nothing of whoever had its row."""
    for name in ("llama", "gemma3", "qwen3_next"):
        twins = Twins(loaded(name), 1)
        empty = make_prompt_cache(twins.network)
        for row in range(2):
            twins.forward.join(empty, [(0, 0)])
            twins.plain.append(make_prompt_cache(twins.network))
            twins.step()
            twins.join(7)
            twins.step()
            twins.leave(row)
            twins.step()
        twins.leave(0)
        twins.forward.join(empty, [(0, 0)])
        twins.plain.append(make_prompt_cache(twins.network))
        twins.step()


def test_growth_past_the_first_buffers(llama: LanguageModel) -> None:
    """Around 256 and 512 tokens the buffers grow: old columns stay, alone and beside a short neighbour."""
    for lengths in ((252,), (252, 3), (3, 508)):
        twins = Twins(llama, 2)
        for length in lengths:
            twins.join(length)
        for _ in range(6):
            twins.step()
        if len(lengths) > 1:
            twins.leave(0)
            twins.step()


@pytest.mark.parametrize(("name", "lengths"), [("llama", (9, 30, 4, 17)), ("qwen3_next", (9, 9, 9, 9))])
@pytest.mark.parametrize("without", [None, 0, 1, 3])
def test_most_of_a_group_joins(
    name: str, lengths: tuple[int, ...], without: int | None, loaded: Callable[[str], LanguageModel]
) -> None:
    """Beside rows that are there; one of those that were prefilled together may have gone meanwhile."""
    twins = Twins(loaded(name), 8)
    twins.join(5)
    twins.step()
    twins.join(*lengths, without=without)
    for _ in range(3):
        twins.step()


def test_who_stays_is_copied_once(loaded: Callable[[str], LanguageModel], monkeypatch: pytest.MonkeyPatch) -> None:
    """However many leave at once, beside and behind them; and nobody who leaves is."""
    assert without("abcdef", (1, 4)) == list("afcd") and without("abc", (0, 1, 2)) == []
    moves: list[tuple[int, int]] = []
    move = AttentionRows.move

    def noted(self: AttentionRows, source: int, target: int) -> None:
        moves.append((source, target))
        move(self, source, target)

    monkeypatch.setattr(AttentionRows, "move", noted)
    model = loaded("llama")
    twins = Twins(model, 11)
    twins.join(4, 9, 3, 12, 30, 8)
    twins.leave(1, 4)
    assert set(moves) == {(5, 1)} and len(moves) == len(model.network.layers)
    twins.step()
    twins.leave(0, 1, 2, 3)
    assert len(moves) == len(model.network.layers) and twins.forward.nbytes == 0


def test_a_group_joins_with_one_copy_a_layer(
    loaded: Callable[[str], LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one for each of its rows, in the buffers of each length."""
    copies: list[int] = []
    join = AttentionRows.join

    def counted(self: AttentionRows, row: int, source: Any, source_row: int, lengths: Any) -> None:
        copies.append(len(lengths))
        join(self, row, source, source_row, lengths)

    monkeypatch.setattr(AttentionRows, "join", counted)
    model = loaded("llama")
    twins = Twins(model, 9)
    twins.join(9, 3, 12, 30)
    assert copies == [4] * len(model.network.layers)


@pytest.fixture(scope="module")
def wide_window(checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """gemma3 with a window of 300: longer than one step of capacity, and no multiple of it."""
    folder = tmp_path_factory.mktemp("wide") / "gemma3"
    shutil.copytree(checkpoint("gemma3"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"sliding_window": 300}))
    request = Load(path=str(folder), name="wide", kind="llm", max_batch=8, prefill_tokens_per_step=512)
    return load(request)[0]


def test_a_ring_that_grows_and_wraps(wide_window: LanguageModel) -> None:
    """Rows before, at and after the wrap share a batch; the ring grows from 256 to 300 columns and no further."""
    twins = Twins(wide_window, 3)
    for length, chunk in ((254, 1000), (297, 64), (310, 1000), (599, 300)):
        twins.join(length, chunk=chunk)
        for _ in range(3):
            twins.step()
    assert {layer.keys.shape[2] for layer in twins.forward._buckets[0].layers if layer.size} == {300}
    for row in (3, 0):
        twins.leave(row)
        twins.step()


def test_every_moment_of_a_wrap(loaded: Callable[[str], LanguageModel]) -> None:
    """A window of 16: joining with 1 to 33 tokens side by side, the next ten logits of each are right."""
    twins = Twins(loaded("gemma3"), 7)
    for length in (1, 8, 14, 15, 16, 17, 31, 33):
        twins.join(length, chunk=7 if length % 2 else 1000)
    for _ in range(10):
        twins.step()


def test_memory_comes_back(llama: LanguageModel) -> None:
    """Buffers shrink when most rows are free, and are gone with the last row."""
    twins = Twins(llama, 4)
    twins.join(*[20] * 8)
    full = twins.forward.nbytes
    assert full == 8 * 256 * llama.costs.row.token
    for _ in range(6):
        twins.leave(0)
    assert twins.forward.nbytes == full // 2
    twins.step()
    twins.leave(1)
    twins.leave(0)
    assert twins.forward.nbytes == 0


def test_which_caches_can_be_batched() -> None:
    """Unknown classes, and rings that keep their first tokens, run row by row."""
    positions = Positions()
    assert isinstance(rows_like(KVCache(), positions), AttentionRows)
    assert rows_like(RotatingKVCache(max_size=8), positions).size == 8
    assert rows_like(RotatingKVCache(max_size=8, keep=4), positions) is None
    assert rows_like(QuantizedKVCache(), positions) is None
    assert rows_like(CacheList(KVCache(), ArraysCache(2)), positions) is not None
    assert rows_like(CacheList(KVCache(), QuantizedKVCache()), positions) is None


def test_two_caches_in_one_layer() -> None:
    """A list's rows move together: attention beside a recurrent state."""
    positions = Positions()
    layer = rows_like(CacheList(KVCache(), ArraysCache(1)), positions)
    for row, value in enumerate((1.0, 2.0, 3.0)):
        source = CacheList(KVCache(), ArraysCache(1))
        keys = mx.full((1, 2, 4, 3), value)
        source[0].update_and_fetch(keys, keys)
        source[1][0] = mx.full((1, 5), value)
        layer.join(row, source, 0, [4])
        positions.lengths.append(4)
        positions.begin()
    layer.move(2, 0)
    layer.cut(2)
    assert layer[0].keys[:2, 0, 0, 0].tolist() == [3.0, 2.0]
    assert layer[1][0][:, 0].tolist() == [3.0, 2.0]
    assert layer.nbytes > 0


def test_one_token_a_row_only() -> None:
    with pytest.raises(ValueError, match="one token a row"):
        AttentionRows(Positions()).make_mask(2)
