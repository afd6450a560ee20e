"""Layers that read one input become one product: the same logits and bytes for every architecture, and no others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache
from reference.checkpoints import NAMES

from mlx_serve.daemon.engine.model.joined import Part, join
from mlx_serve.daemon.engine.model.model_folder import read_json
from mlx_serve.daemon.engine.model.network import open_network

ONE_ALREADY = ("phi3",)
TOKENS = (5, 1, 2, 77, 3, 9)


def parameters(network: Any) -> list[tuple[str, mx.array]]:
    return tree_flatten(network.parameters())  # type: ignore[return-value]


def logits(network: Any) -> np.ndarray[Any, Any]:
    """Of a prompt, and of two steps after it."""
    caches = make_prompt_cache(network)
    found = [network(mx.array([list(TOKENS)]), cache=caches)]
    found += [network(mx.array([[token]]), cache=caches) for token in (4, 8)]
    return np.array(mx.concatenate(found, axis=1).astype(mx.float32))


@pytest.fixture
def network(checkpoint: Callable[[str], Path], request: pytest.FixtureRequest) -> Any:
    folder = checkpoint(request.param)
    return open_network(folder, read_json(folder / "config.json"))[0]


@pytest.mark.parametrize("network", NAMES, indirect=True)
def test_every_architecture_gives_the_same_with_as_many_bytes(network: Any, request: pytest.FixtureRequest) -> None:
    before, bytes_before = logits(network), sum(array.nbytes for _, array in parameters(network))
    assert (join(network) == 0) == (request.node.callspec.params["network"] in ONE_ALREADY)
    assert sum(array.nbytes for _, array in parameters(network)) == bytes_before
    np.testing.assert_allclose(logits(network), before, rtol=0, atol=1e-5)
    assert join(network) == 0, "what is joined is joined once"


@pytest.mark.parametrize("network", ["qwen3"], indirect=True)
def test_quantized_layers_are_joined_where_they_are_quantized_alike(network: Any) -> None:
    """Layers of other bits than their neighbours stay by themselves."""
    nn.quantize(network, 32, 4)
    shape = network.layers[0].self_attn.o_proj.scales.shape[1] * 32
    network.layers[0].self_attn.q_proj = nn.QuantizedLinear(
        network.args.hidden_size, shape, bias=False, bits=8, group_size=32
    )
    before, layers = logits(network), len(network.layers)
    assert join(network) == 5 * layers - 1
    assert isinstance(network.layers[0].self_attn.q_proj, nn.QuantizedLinear)
    assert isinstance(network.layers[0].self_attn.k_proj, Part)
    np.testing.assert_allclose(logits(network), before, rtol=0, atol=1e-5)


class Odd(nn.Module):
    """Two layers of one input and one of another; a fourth whose weight is read."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.apart, self.tied = (nn.Linear(8, width) for width in (8, 4, 4, 8))
        self.layers: list[Any] = []

    def __call__(self, tokens: mx.array, cache: Any = None) -> mx.array:
        x = mx.ones((*tokens.shape, 8)) * tokens[..., None]
        other = mx.concatenate([self.right(x), self.apart(x + 1)], axis=-1)
        output: mx.array = self.left(x) + other + self.tied(x) @ self.tied.weight
        return output

    def make_cache(self) -> list[Any]:
        return []


def test_only_what_reads_the_same_input_and_nothing_but_it() -> None:
    network = Odd()
    before = network(mx.array([[1, 2]]))
    assert join(network) == 2
    assert isinstance(network.left, Part) and isinstance(network.right, Part)
    assert type(network.apart) is type(network.tied) is nn.Linear
    np.testing.assert_allclose(np.array(network(mx.array([[1, 2]]))), np.array(before), atol=1e-6)


def test_parts_called_by_themselves_and_out_of_turn() -> None:
    """Each gives what its own layer gave, whatever was asked before."""
    network = Odd()
    left, right = copy.deepcopy(network.left), copy.deepcopy(network.right)
    assert join(network) == 2
    one, two = mx.random.normal((3, 8)), mx.random.normal((2, 8))
    for layer, part, x in (
        (left, network.left, one),
        (left, network.left, one),
        (left, network.left, two),
        (right, network.right, one),
        (right, network.right, two),
        (left, network.left, two),
    ):
        np.testing.assert_allclose(np.array(part(x)), np.array(layer(x)), atol=1e-6)


def test_a_network_that_takes_no_tokens_alone_stays_as_it_is() -> None:
    class Picky(Odd):
        def __call__(self, tokens: mx.array, cache: Any = None) -> mx.array:
            raise ValueError("pictures, please")

    network = Picky()
    assert join(network) == 0
    assert type(network.left) is type(network.right) is nn.Linear
