"""Products of few rows in tiles: the same results, and only where they are faster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model

from mlx_serve.daemon.engine.cpu import few_rows
from mlx_serve.daemon.engine.cpu.few_rows import TiledEmbedding, TiledLinear, product, tile, use_tiles
from mlx_serve.daemon.engine.model import compiled_layers
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.model.trial import compiled_works


@pytest.mark.parametrize("rows", [1, 2, 3, 8, 12, 16])
@pytest.mark.parametrize(("inputs", "outputs"), [(576, 49152), (1024, 151936), (896, 50257), (3072, 1024), (64, 1100)])
def test_a_tile_is_what_the_library_computes_without_a_copy(rows: int, inputs: int, outputs: int) -> None:
    size = tile(rows, inputs, outputs)
    if size is None:  # the whole product is
        assert rows * outputs <= few_rows.LARGEST_OUTPUT
        size = outputs
    assert rows * size <= few_rows.LARGEST_OUTPUT
    assert rows * size * inputs <= few_rows.LARGEST_PRODUCT
    assert size >= few_rows.SMALLEST_TILE


def test_no_tile_where_it_would_be_a_sliver() -> None:
    assert tile(16, 40_000, 1024) is None


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (8,), (2, 8), (1, 3, 1)])
@pytest.mark.parametrize("outputs", [2048, 2051, 1201])
def test_tiles_give_the_product(shape: tuple[int, ...], outputs: int) -> None:
    """Whole tiles and a rest, whatever the shape of the rows is."""
    weight, x = mx.random.normal((outputs, 48)), mx.random.normal((*shape, 48))
    found = product(x, weight, 16)
    assert found.shape == (*shape, outputs)
    np.testing.assert_allclose(np.array(found), np.array(x) @ np.array(weight).T, rtol=0, atol=1e-4)


def test_no_row_gives_no_row() -> None:
    assert product(mx.zeros((0, 48)), mx.zeros((2048, 48)), 16).shape == (0, 2048)


def test_layers_take_tiles_and_keep_their_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Linear(48, 2048), nn.Linear(2048, 48, bias=False), nn.Embedding(2048, 48))
    half, packed = nn.Linear(48, 2048), nn.QuantizedLinear(64, 2048)
    half.set_dtype(mx.bfloat16)
    network.layers += [half, packed]
    x, before = mx.random.normal((1, 48)), dict(tree_flatten(network.parameters()))
    plain = network.layers[0](x), network.layers[2].as_linear(x)
    assert use_tiles(network, 16) == 3
    kinds = [TiledLinear, TiledLinear, TiledEmbedding, nn.Linear, nn.QuantizedLinear]
    assert [type(layer) for layer in network.layers] == kinds
    after = dict(tree_flatten(network.parameters()))
    assert after.keys() == before.keys() and all(after[name] is array for name, array in before.items())
    seen: list[int | None] = []
    monkeypatch.setattr(few_rows, "tile", lambda *sizes: seen.append(tile(*sizes)) or tile(*sizes))
    for found, expected in zip((network.layers[0](x), network.layers[2].as_linear(x)), plain, strict=True):
        assert mx.allclose(found, expected, atol=1e-5)
    assert seen == [256, 256]


def test_nothing_changes_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_rows, "backend", lambda: "metal")
    monkeypatch.setattr(few_rows, "rows_that_pay", lambda: pytest.fail("nothing to measure"))
    network = nn.Sequential(nn.Linear(48, 2048))
    assert use_tiles(network) == 0 and type(network.layers[0]) is nn.Linear


def test_more_rows_than_pay_go_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_rows, "tile", lambda *_: pytest.fail("no tiles"))
    assert product(mx.ones((5, 48)), mx.ones((2048, 48)), 4).shape == (5, 2048)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_network_decodes_the_same_with_tiles(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    """The limits are lowered to the tiny model's sizes. Rows alone and side by side, and with replayed graphs."""
    monkeypatch.setattr(few_rows, "LARGEST_OUTPUT", 64)
    tile.cache_clear()
    network, _ = load_model(checkpoint("llama"))
    network.set_dtype(mx.float32)
    before = [list(steps(network, rows)) for rows in (1, 3)]
    assert use_tiles(network, 16) > 10
    assert tile(1, 64, 128) == 64
    if compiled:
        assert compiled_works(network, ragged=False)
    for rows, expected in zip((1, 3), before, strict=True):
        found = list(steps(network, rows))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        assert (np.argmax(found, -1) == np.argmax(expected, -1)).all()
    compiled_layers.undo(network)
    tile.cache_clear()


def steps(network: nn.Module, rows: int) -> Iterator[np.ndarray]:
    forward = BatchedForward(network, 0)
    for row in range(rows):
        caches = make_prompt_cache(network)
        network(mx.arange(5 + row)[None], cache=caches)
        forward.join(caches, [(0, 5 + row)])
    for step in range(4):
        yield np.array(forward(Inputs(mx.full((rows, 1), step, dtype=mx.int32))))


@pytest.mark.parametrize(
    ("answers", "most"),
    [((True, True, True, True), 16), ((True, True, False), 4), ((False,), 0), ((True, False), 1)],
)
def test_tiles_are_taken_for_as_many_rows_as_they_pay_for(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[bool, ...], most: int
) -> None:
    """Measured against the plain product, from one row up to the first number that is not faster."""
    left = iter(answers)
    monkeypatch.setattr(few_rows, "faster", lambda *_: next(left))
    assert few_rows.rows_that_pay.__wrapped__() == most
    assert next(left, None) is None
