"""Quantized layers unpack their weights for many rows, in whatever form they are, and give what MLX's product gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.utils import load_model

from mlx_serve.daemon.engine.cuda.dequantizing_layers import (
    FEWEST_ROWS,
    DequantizingEmbedding,
    DequantizingLinear,
    use_dequantized,
)
from mlx_serve.daemon.engine.model import precision

FORMS: list[dict[str, Any]] = [
    *({"group_size": 64, "bits": bits} for bits in (2, 3, 4, 5, 6, 8)),
    *({"group_size": group, "bits": 4} for group in (32, 128)),
    {"group_size": 32, "bits": 4, "mode": "mxfp4"},
    {"group_size": 16, "bits": 4, "mode": "nvfp4"},
    {"group_size": 32, "bits": 8, "mode": "mxfp8"},
]


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of all that is unpacked."""
    shapes: list[tuple[int, ...]] = []
    dequantize = mx.dequantize

    def noted(weight: mx.array, *arguments: Any, **form: Any) -> mx.array:
        result = dequantize(weight, *arguments, **form)
        shapes.append(result.shape)
        return result

    monkeypatch.setattr(mx, "dequantize", noted)
    return shapes


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: " ".join(map(str, form.values())))
@pytest.mark.parametrize("bias", [True, False])
def test_every_form_gives_what_it_gave(
    form: dict[str, Any], dtype: mx.Dtype, bias: bool, unpacked: list[tuple[int, ...]]
) -> None:
    """From FEWEST_ROWS rows of whatever shape, as close to exact sums as half precision is; fewer are multiplied as
    before, to the bit."""
    dense = nn.Linear(128, 48, bias=bias)
    dense.set_dtype(dtype)
    layer = dense.to_quantized(**form)
    xs = [mx.random.normal(shape).astype(dtype) for shape in ((2, 4, 128), (1, 100, 128), (7, 1, 128), (1, 128))]
    exact = mx.dequantize(layer["weight"], layer["scales"], layer.get("biases"), **form).astype(mx.float32)
    expected = [np.array(layer(x).astype(mx.float32)) for x in xs]
    for place in range(2):
        sums = xs[place].astype(mx.float32) @ exact.T
        expected[place] = np.array(sums + layer["bias"] if bias else sums)
    unpacked.clear()
    assert use_dequantized(layer) == 1 and type(layer) is DequantizingLinear
    for x, result in zip(xs, expected, strict=True):
        found = layer(x)
        assert found.dtype == dtype and found.shape == (*x.shape[:-1], 48)
        many = x.size // x.shape[-1] >= FEWEST_ROWS
        close = np.abs(result).max() * (0.01 if many else 0)
        np.testing.assert_allclose(np.array(found.astype(mx.float32)), result, atol=close, rtol=0)
    assert unpacked == [(48, 128)] * 2


def test_an_embedding_that_is_the_output_layer(unpacked: list[tuple[int, ...]]) -> None:
    """Looking tokens up unpacks those alone."""
    embedding = nn.QuantizedEmbedding(48, 64, bits=4)
    embedding.set_dtype(mx.bfloat16)
    x, tokens = mx.random.normal((1, 9, 64)).astype(mx.bfloat16), mx.array([[3, 1]])
    looked_up, expected = embedding(tokens), embedding.as_linear(x).astype(mx.float32)
    unpacked.clear()
    assert use_dequantized(nn.Sequential(embedding)) == 1 and type(embedding) is DequantizingEmbedding
    assert mx.array_equal(embedding(tokens), looked_up) and unpacked == [(1, 2, 64)]
    found = embedding.as_linear(x).astype(mx.float32)
    assert unpacked[1:] == [(48, 64)]
    np.testing.assert_allclose(np.array(found), np.array(expected), atol=0.02 * float(mx.abs(expected).max()))


def test_float32_stays_packed(unpacked: list[tuple[int, ...]]) -> None:
    """cuBLAS would round it to fewer digits than MLX's quantized product does."""
    layer = nn.QuantizedLinear(64, 48)
    x = mx.random.normal((9, 64))
    expected = layer(x)
    use_dequantized(layer)
    assert mx.array_equal(layer(x), expected) and not unpacked


def quantized_network(folder: Path) -> Any:
    network, _ = load_model(folder)
    network.set_dtype(mx.bfloat16)
    nn.quantize(network, group_size=32, bits=8)
    return network


def test_a_network_gives_what_it_gave(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, unpacked: list[tuple[int, ...]]
) -> None:
    """Where MLX computes with CUDA, and nowhere else, all layers of a network that is read in unpack for prompts."""
    network, exact = (quantized_network(checkpoint("qwen3")) for _ in range(2))
    precision.widen(exact, None)
    packed = [module for module in network.modules() if isinstance(module, nn.QuantizedLinear | nn.QuantizedEmbedding)]
    for backend in ("metal", "cuda"):
        assert not any(isinstance(module, DequantizingLinear | DequantizingEmbedding) for module in packed)
        monkeypatch.setattr(precision, "backend", lambda backend=backend: backend)
        precision.read_weights(network)
    assert all(isinstance(module, DequantizingLinear | DequantizingEmbedding) for module in packed)
    unpacked.clear()
    tokens = mx.arange(40)[None]
    found, expected = network(tokens).astype(mx.float32), exact(tokens)
    assert len(unpacked) == len(packed) + 1  # the tokens too, where embedding and head are one
    np.testing.assert_allclose(np.array(found), np.array(expected), atol=0.03 * float(mx.abs(expected).max()))
