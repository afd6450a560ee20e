"""Embeddings and positions reach the network with the row that they belong to, in every kind of forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import KVCache, make_prompt_cache
from numpy.typing import NDArray

from mlx_serve.daemon.engine.model.forward import BatchedForward, Forward, SoloForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.model.load import LanguageModel

Floats = NDArray[np.float32]
LENGTHS = (3, 400, 9, 700)
FORWARDS: dict[str, Callable[[Any], Forward]] = {
    "one bucket": lambda network: BatchedForward(network, 10**12),
    "three buckets": lambda network: BatchedForward(network, 0),
    "row by row": SoloForward,
}


@pytest.mark.parametrize("kind", FORWARDS)
def test_embeddings_take_the_place_of_tokens(kind: str, llama: LanguageModel) -> None:
    """Embeddings of other tokens than are given: at prefill and at decode the logits are those of the embeddings."""
    network = llama.network
    embed = network.model.embed_tokens

    def logits(*, embedded: bool) -> Floats:
        def inputs(tokens: mx.array) -> Inputs:
            return Inputs(mx.zeros_like(tokens), embed(tokens)) if embedded else Inputs(tokens)

        forward = FORWARDS[kind](network)
        for row, length in enumerate(LENGTHS):
            caches = make_prompt_cache(network)
            inputs((mx.arange(length)[None] * 7 + row) % 300).apply(network, caches)
            forward.join(caches, [(0, length)])
        return np.array(forward(inputs(mx.array([[5], [6], [7], [8]]))))

    np.testing.assert_allclose(logits(embedded=True), logits(embedded=False), rtol=0, atol=1e-5)


class Placed:
    """A network whose logits are each row's positions; it has one layer of plain attention caches."""

    def make_cache(self) -> list[KVCache]:
        return [KVCache()]

    def __call__(self, tokens: mx.array, cache: Any, position_ids: mx.array | None = None) -> mx.array:
        rows, width = tokens.shape
        keys = mx.zeros((rows, 1, width, 1))
        cache[0].update_and_fetch(keys, keys)
        assert position_ids is not None
        return mx.moveaxis(position_ids, 0, -1) if position_ids.ndim == 3 else position_ids[..., None]


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("kind", FORWARDS)
def test_each_row_has_positions_of_its_own(kind: str, axes: int) -> None:
    """With deltas that differ by row, also where rows sit in other buckets than they came in."""
    network = Placed()
    forward = FORWARDS[kind](network)
    for length in LENGTHS:
        caches = make_prompt_cache(network)
        places = mx.arange(length)[None]
        Inputs(mx.zeros((1, length), dtype=mx.int32), positions=places).apply(network, caches)
        forward.join(caches, [(0, length)])
    forward.leave([0])
    places = mx.array([[length + delta] for length, delta in zip((700, 400, 9), (-50, 0, 11), strict=True)])
    positions = mx.stack([places + axis for axis in range(axes)]) if axes > 1 else places
    logits = np.array(forward(Inputs(mx.zeros((3, 1), dtype=mx.int32), positions=positions)))
    assert logits.tolist() == [[place + axis for axis in range(axes)] for place in (650, 400, 20)]


def test_a_network_gets_nothing_that_it_does_not_take(llama: LanguageModel) -> None:
    """Text goes into networks that know neither word; what cannot be passed on is an error and not left out."""

    class Plain:
        def __call__(self, tokens: mx.array, cache: Any) -> mx.array:
            return tokens

    class Open:
        def __call__(self, tokens: mx.array, cache: Any, **options: Any) -> Any:
            return sorted(options)

    class Vision:
        def __call__(self, tokens: mx.array, inputs_embeds: Any = None, cache: Any = None, **options: Any) -> Any:
            return inputs_embeds, sorted(options)

    tokens, embeddings = mx.array([[1, 2]]), mx.zeros((1, 2, 4))
    assert Inputs(tokens).apply(Plain(), []).tolist() == [[1, 2]]
    assert Inputs(tokens).apply(Open(), []) == []
    assert Inputs(tokens, embeddings, tokens).apply(Open(), []) == ["input_embeddings", "position_ids"]
    given, others = Inputs(tokens, embeddings, tokens).apply(Vision(), [])
    assert (given is embeddings, others) == (True, ["position_ids"])
    with pytest.raises(ValueError, match="takes no input_embeddings"):
        Inputs(tokens, embeddings).apply(Plain(), [])
    with pytest.raises(ValueError, match="takes no position_ids"):
        Inputs(tokens, embeddings, tokens).apply(llama.network, make_prompt_cache(llama.network))
