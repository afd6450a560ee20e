"""Heads of 512: the same attention as with a mask, in the calls that MLX fuses on Metal. Run on the CPU only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models import gemma4_text
from mlx_lm.models.cache import KVCache, make_prompt_cache
from support.twin_rows import DEAR, Twins

from mlx_serve.daemon.engine.cache import attention, wide_heads
from mlx_serve.daemon.engine.cache.attention_rows import AttentionRows
from mlx_serve.daemon.engine.cache.positions import Positions
from mlx_serve.daemon.engine.cache.wide_heads import WideAttention, fused_alone
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.model.trial import ragged_works


class Calls(list[tuple[int, int, bool]]):
    """Of each call of MLX's own attention: rows, keys, and whether with a mask."""


@pytest.fixture
def metal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """Attention as it is installed on Metal, over MLX's own on this CPU; four keys count as many."""
    calls, own = Calls(), mx.fast.scaled_dot_product_attention

    def plain(q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Any = None, **options: Any) -> mx.array:
        calls.append((q.shape[0], k.shape[2], mask is not None))
        return own(q, k, v, scale=scale, mask=mask, **options)

    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", plain)
    monkeypatch.setattr(attention, "backend", lambda: "metal")
    monkeypatch.setattr(wide_heads, "FEWEST_KEYS", 4)
    attention.install()
    yield calls


@pytest.fixture(scope="module")
def gemma() -> Any:
    """Two layers, as Gemma 4 has them: a sliding one with heads of 16, a global one with eight heads of 512 for one."""
    mx.random.seed(3)
    arguments = gemma4_text.ModelArgs(
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=32,
        num_attention_heads=8,
        head_dim=16,
        vocab_size=320,
        vocab_size_per_layer_input=320,
        hidden_size_per_layer_input=0,
        num_kv_shared_layers=0,
        sliding_window=8,
        sliding_window_pattern=2,
    )
    network = gemma4_text.Model(arguments)
    mx.eval(network.parameters())
    return network


def test_what_mlx_fuses_without_a_mask_and_not_with_one() -> None:
    """One query token, eight heads a key head, 512 wide, 1024 keys."""
    well = ((2, 8, 1, 512), (2, 1, 2000, 512), (2, 1, 2000, 512))
    assert fused_alone(*well, 1024)
    assert not fused_alone(*well, 1023)
    assert not fused_alone((2, 8, 2, 512), *well[1:], 1024)
    assert not fused_alone((2, 4, 1, 512), *well[1:], 1024)
    assert not fused_alone((2, 8, 1, 256), (2, 1, 2000, 256), (2, 1, 2000, 256), 1024)


def test_rows_of_different_lengths_go_one_at_a_time(metal: Calls, gemma: Any, llama: LanguageModel) -> None:
    """In the wide layer only, and only while every row is long enough; the logits are those of plain caches."""
    assert ragged_works(gemma)
    twins = Twins(replace(llama, network=gemma), 1, BatchedForward(gemma, DEAR, ragged=True))
    twins.join(9)
    twins.join(5)
    metal.clear()
    tokens = mx.array(twins.tokens(2))[:, None]
    logits = np.array(twins.forward(Inputs(tokens)))
    assert metal == [(2, 8, True), (1, 10, False), (1, 6, False)]
    for row, cache in enumerate(twins.plain):
        alone = np.array(gemma(tokens[row : row + 1], cache=cache)[0, -1])
        np.testing.assert_allclose(logits[row], alone, rtol=0, atol=1e-4)
    twins.join(2)
    metal.clear()
    twins.forward(Inputs(mx.array(twins.tokens(3))[:, None]))
    assert metal == [(3, 8, True), (3, 11, True)]


def test_rows_of_one_length_need_no_mask(metal: Calls, gemma: Any, llama: LanguageModel) -> None:
    """Nor does any layer of theirs."""
    twins = Twins(replace(llama, network=gemma), 2, BatchedForward(gemma, DEAR, ragged=True))
    twins.join(6, chunk=3)
    twins.join(6, chunk=3)
    metal.clear()
    twins.forward(Inputs(mx.array(twins.tokens(2))[:, None]))
    assert metal == [(2, 7, False), (2, 7, False)]


def test_rows_of_one_length_need_no_mask_anywhere(llama: LanguageModel) -> None:
    """On a CPU too, and for any width; a row that is longer brings the mask back."""
    rows = AttentionRows(Positions())
    rows.positions.lengths = [4, 4]
    rows.positions.begin()
    assert rows.make_mask(1) is None
    rows.positions.lengths = [4, 5]
    rows.positions.begin()
    mask = rows.make_mask(1)
    assert isinstance(mask, mx.array) and mask.tolist() == [[[[True] * 5 + [False]]], [[[True] * 6]]]
    twins = Twins(llama, 4)
    twins.join(7)
    twins.join(7)
    for _ in range(3):
        twins.step()


def test_only_models_with_such_heads_pay_for_it(
    metal: Calls, gemma: Any, loaded: Callable[[str], LanguageModel]
) -> None:
    """The others go on with masks, which MLX fuses."""
    for network, expected in ((gemma, True), (loaded("gemma3").network, False)):
        caches = make_prompt_cache(network)
        network(mx.array([[1, 2]]), cache=caches)
        assert attention.pays(caches) is expected
    assert not attention.skips_padding()
    assert isinstance(mx.fast.scaled_dot_product_attention, WideAttention)


def test_on_a_cpu_nothing_is_installed() -> None:
    attention.install()
    assert not attention.installed()
    assert not attention.pays([KVCache()])
