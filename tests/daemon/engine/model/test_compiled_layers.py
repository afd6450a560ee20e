"""Compiled layers give what the layers give, however rows come and go; what cannot be cut at its attention is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache
from reference.checkpoints import NAMES
from support.twin_rows import Twins, play

from mlx_serve.daemon.engine.model import blueprint, compiled_layers
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.model.trial import compiled_works


@pytest.fixture
def apart(loaded: Callable[[str], LanguageModel], request: pytest.FixtureRequest) -> Iterator[LanguageModel]:
    """A loaded model whose layers are their own code again; afterwards they are what they were."""
    model = loaded(request.param)
    was_compiled = is_compiled(model.network)
    compiled_layers.undo(model.network)
    yield model
    compiled_layers.undo(model.network)
    if was_compiled:
        compiled_layers.compile_layers(model.network)


def is_compiled(network: Any) -> bool:
    return any(compiled_layers._PIECES in vars(layer) for layer in network.layers)


def steps(network: Any, lengths: tuple[int, ...], count: int = 5) -> np.ndarray[Any, Any]:
    forward = BatchedForward(network, 0)
    for length in lengths:
        caches = make_prompt_cache(network)
        network(mx.arange(length)[None] % 50, cache=caches)
        forward.join(caches, [(0, length)])
    found = [forward(Inputs(mx.full((len(lengths), 1), step, dtype=mx.int32))) for step in range(count)]
    return np.array(mx.stack(found))


@pytest.mark.parametrize("apart", NAMES, indirect=True)
def test_every_architecture_gives_the_same(apart: LanguageModel) -> None:
    """Alone and side by side, of one length and of several."""
    if not apart.batchable:
        pytest.skip("it decodes row by row")
    rows = ((7,), (3, 9, 30), (5, 5))
    before = [steps(apart.network, lengths) for lengths in rows]
    assert compiled_works(apart.network, ragged=False)
    for lengths, expected in zip(rows, before, strict=True):
        np.testing.assert_allclose(steps(apart.network, lengths), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("apart", ["llama", "qwen3", "gemma3"], indirect=True)
def test_rows_come_and_go(apart: LanguageModel) -> None:
    assert compiled_works(apart.network, ragged=False)
    play(Twins(apart, 11), moves=15, longest=40)


@pytest.mark.parametrize("apart", ["qwen3"], indirect=True)
def test_a_layer_is_two_calls_and_then_one(apart: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own code runs while it is traced and not again; prompts go through it as before."""
    calls = 0
    plain = type(apart.network.layers[1].mlp).__call__

    def counted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return plain(*arguments)

    monkeypatch.setattr(type(apart.network.layers[1].mlp), "__call__", counted)
    assert compiled_works(apart.network, ragged=False)
    steps(apart.network, (4, 6), count=1)
    traced = calls
    forward = BatchedForward(apart.network, 0)
    caches = make_prompt_cache(apart.network)
    apart.network(mx.array([[1, 2, 3]]), cache=caches)
    assert calls == traced + len(apart.network.layers)
    forward.join(caches, [(0, 3)])
    forward.join(caches, [(0, 2)])
    for _ in range(3):
        mx.eval(forward(Inputs(mx.zeros((2, 1), dtype=mx.int32))))
    assert calls == traced + len(apart.network.layers)


@pytest.mark.parametrize(("apart", "most"), [("qwen3", 2), ("gemma3", 4)], indirect=["apart"])
def test_layers_that_differ_in_their_arrays_alone_are_traced_once(
    apart: LanguageModel, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number of rows that was not there before costs a trace or two, not one a layer; layers with other frequencies
    are kinds of their own, and their number in the model, which no code reads, is no difference."""
    traced = []
    trace = blueprint.Blueprint._trace_after

    def noted(self: Any, *arguments: Any) -> Any:
        traced.append(self)
        return trace(self, *arguments)

    monkeypatch.setattr(blueprint.Blueprint, "_trace_after", noted)
    assert compiled_works(apart.network, ragged=False)
    traced.clear()
    steps(apart.network, (5, 6, 7), count=2)
    pairs = {(id(piece._blueprint), id(piece._after)) for piece in pieces_of(apart.network)}
    assert len(traced) == len(pairs) <= most < len(apart.network.layers)


def pieces_of(network: Any) -> list[compiled_layers.Pieces]:
    return [vars(layer)[compiled_layers._PIECES] for layer in network.layers]


@pytest.mark.parametrize("apart", ["qwen3"], indirect=True)
def test_undone_it_is_what_it_was(apart: LanguageModel) -> None:
    kinds = [type(layer) for layer in apart.network.layers]
    assert compiled_layers.compile_layers(apart.network) == len(kinds)
    assert [isinstance(layer, kind) for layer, kind in zip(apart.network.layers, kinds, strict=True)] == [True] * len(
        kinds
    )
    compiled_layers.undo(apart.network)
    assert [type(layer) for layer in apart.network.layers] == kinds and not is_compiled(apart.network)
    compiled_layers.undo(apart.network)


@pytest.mark.parametrize("apart", ["qwen3"], indirect=True)
@pytest.mark.parametrize("oddity", ["another mask", "no attention", "attention twice", "the cache's length"])
def test_a_layer_that_does_more_with_its_cache_stays_whole(
    apart: LanguageModel, oddity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(apart.network.layers[0])
    plain = kind.__call__

    def odd(self: Any, x: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
        if oddity == "another mask":
            return plain(self, x, None if mask is None else mask + 0, cache)
        if oddity == "no attention":
            return x
        if oddity == "attention twice":
            return plain(self, plain(self, x, mask, cache), mask, None)
        return plain(self, x, mask, cache) * (cache.positions.span if hasattr(cache, "positions") else len(cache.state))

    monkeypatch.setattr(kind, "__call__", odd)
    if oddity == "the cache's length":
        with pytest.raises(AttributeError):
            compiled_layers.compile_layers(apart.network)
            steps(apart.network, (3,))
        compiled_layers.undo(apart.network)
    assert not compiled_works(apart.network, ragged=False)
    assert not is_compiled(apart.network)


@pytest.mark.parametrize("apart", ["qwen3"], indirect=True)
def test_nothing_is_compiled_where_that_is_switched_off(apart: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_DISABLE_COMPILE", "1")
    assert not compiled_works(apart.network, ragged=False) and not is_compiled(apart.network)
