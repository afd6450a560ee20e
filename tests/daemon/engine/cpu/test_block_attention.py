"""Attention in blocks gives what MLX's gives, for all of its masks, and leaves the rest to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model

from mlx_serve.daemon.engine.cpu import block_attention as attention
from mlx_serve.daemon.engine.cpu import exponentials
from mlx_serve.daemon.engine.cpu.block_attention import Attention
from mlx_serve.daemon.engine.cpu.exponentials import Sigmoid
from mlx_serve.daemon.engine.kernels.elementwise import Elementwise

PLAIN = mx.fast.scaled_dot_product_attention


def inputs(rows: int, heads: int, groups: int, queries: int, keys: int, width: int = 16) -> tuple[mx.array, ...]:
    mx.random.seed(3)
    q = 3 * mx.random.normal((rows, queries, heads, width)).swapaxes(1, 2)  # as layers have it, not contiguous
    return q, mx.random.normal((rows, groups, keys, width)), mx.random.normal((rows, groups, keys, width))


def masks(rows: int, heads: int, queries: int, keys: int) -> dict[str, Any]:
    window = mx.arange(keys) > mx.arange(queries)[:, None] - 5
    padded = mx.arange(keys) < mx.array([keys - 3 * row for row in range(rows)])[:, None, None, None]
    return {
        "none": None,
        "causal": "causal",
        "window": window,
        "padded rows": padded,
        "both": padded & window,
        "by heads": mx.random.uniform(shape=(rows, heads, queries, keys)) > 0.3,
        "of keys alone": mx.arange(keys) % 3 > 0,
        "of heads": mx.random.uniform(shape=(heads, queries, keys)) > 0.3,
        "the same for all keys": mx.random.normal((rows, heads, queries, 1)),
        "added": mx.random.normal((queries, keys)),
        "added by heads": mx.random.normal((1, heads, queries, keys)),
        "all hidden for a query": window & (mx.arange(queries) != 2)[:, None],
    }


@pytest.mark.parametrize("kind", masks(1, 1, 1, 1))
@pytest.mark.parametrize("block", [1 << 17, 2000, 1])
@pytest.mark.parametrize("sizes", [(1, 4, 2, 48, 48), (3, 6, 2, 40, 100), (2, 4, 4, 17, 33)])
def test_it_gives_what_mlx_gives(
    monkeypatch: pytest.MonkeyPatch, kind: str, block: int, sizes: tuple[int, int, int, int, int]
) -> None:
    """Whole, in blocks of queries, and in blocks of queries for one group of heads after the other."""
    monkeypatch.setattr(attention, "WORTHWHILE", 0)
    monkeypatch.setattr(attention, "BLOCK_SCORES", block)
    rows, heads, _, queries, keys = sizes
    q, k, v = inputs(*sizes)
    mask = masks(rows, heads, queries, keys)[kind]
    found = Attention(lambda *_, **__: pytest.fail("not its own"))(q, k, v, scale=0.25, mask=mask)
    expected = PLAIN(q, k, v, scale=0.25, mask=mask)
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", masks(1, 1, 1, 1))
@pytest.mark.parametrize("sizes", [(1, 4, 2, 1, 48), (3, 6, 2, 1, 100), (2, 4, 4, 1, 33)])
def test_a_decode_step_gives_what_mlx_gives(
    monkeypatch: pytest.MonkeyPatch, kind: str, sizes: tuple[int, int, int, int, int]
) -> None:
    """Twice with one mask, as the layers of a step have it, and then with another one."""
    monkeypatch.setattr(attention, "WORTHWHILE_STEP", 0)
    monkeypatch.setattr(Elementwise, "fused", True)
    rows, heads, _, queries, keys = sizes
    q, k, v = inputs(*sizes)
    own = Attention(lambda *_, **__: pytest.fail("not its own"))
    mask = masks(rows, heads, queries, keys)[kind]
    other = mx.arange(keys) % 2 > 0
    for one in (mask, mask, other):
        found, expected = (way(q, k, v, scale=0.25, mask=one) for way in (own, PLAIN))
        assert found.shape == expected.shape
        np.testing.assert_allclose(np.array(found), np.array(expected), rtol=0, atol=1e-5)


def test_a_decode_step_is_mlx_s_until_exponentials_are_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """And where it has few scores."""
    asked: list[int] = []
    own = Attention(lambda *arrays, **_: asked.append(1) or arrays[0])
    q, k, v = inputs(8, 4, 2, 1, 256)
    own(q, k, v, scale=0.5)
    assert asked == [1]
    monkeypatch.setattr(Elementwise, "fused", True)
    own(q, k, v, scale=0.5)
    assert asked == [1]
    own(*inputs(1, 4, 2, 1, 256), scale=0.5)
    assert asked == [1, 1]


def test_values_may_be_of_another_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "WORTHWHILE", 0)
    q, k, _ = inputs(2, 4, 2, 32, 32)
    v = mx.random.normal((2, 2, 32, 24))
    found = Attention(PLAIN)(q, k, v, scale=0.25, mask="causal")
    scores = np.array(q) @ np.repeat(np.array(k), 2, axis=1).swapaxes(-1, -2) * 0.25
    shares = np.exp(np.where(np.tri(32, dtype=bool), scores, -np.inf))
    expected = shares / shares.sum(-1, keepdims=True) @ np.repeat(np.array(v), 2, axis=1)
    np.testing.assert_allclose(np.array(found), expected, rtol=0, atol=1e-5)


def test_large_scores_do_not_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "WORTHWHILE", 0)
    q, k, v = inputs(1, 2, 2, 20, 20)
    found, expected = (way(300 * q, k, v, scale=1.0, mask="causal") for way in (Attention(PLAIN), PLAIN))
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("queries", "options"),
    [
        (1, {}),  # a decode step
        (16, {}),  # few scores
        (257, {"mask": "causal"}),  # more queries than keys
        (256, {"sinks": mx.zeros((4,))}),
        (256, {"mask": mx.zeros((256, 256), dtype=mx.bfloat16)}),
        (256, {"dtype": mx.bfloat16}),
    ],
)
def test_the_rest_is_left_to_mlx(queries: int, options: dict[str, Any]) -> None:
    asked: list[Any] = []
    dtype = options.pop("dtype", mx.float32)
    q, k, v = (array.astype(dtype) for array in inputs(1, 4, 2, queries, 256))
    Attention(lambda *arrays, **given: asked.append(given) or arrays[0])(q, k, v, scale=0.5, **options)
    assert asked == [{"scale": 0.5, "mask": None} | options]


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "qwen3_next"])
def test_a_network_reads_a_prompt_the_same(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In chunks, with everything exchanged: the logits of the last place, and the token that they choose."""
    network, _ = load_model(checkpoint(name))
    network.set_dtype(mx.float32)
    expected = logits(network)
    monkeypatch.setattr(attention, "WORTHWHILE", 0)
    monkeypatch.setattr(attention, "BLOCK_SCORES", 2000)
    monkeypatch.setattr(exponentials, "WORTHWHILE", 1)
    used: list[Attention] = []
    monkeypatch.setattr(attention, "attend", lambda *given, own=attention.attend: used.append(1) or own(*given))
    monkeypatch.setattr(mx, "sigmoid", Sigmoid(mx.sigmoid))
    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", Attention(PLAIN))
    found = logits(network)
    assert used
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert found.argmax() == expected.argmax()


def logits(network: Any) -> np.ndarray[Any, Any]:
    caches = make_prompt_cache(network)
    for chunk in (range(40), range(40, 61)):
        last = network(mx.array([[token % 50 for token in chunk]]), cache=caches)[0, -1]
    return np.array(last)
