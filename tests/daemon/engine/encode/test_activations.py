"""Activation functions by the names of configs, and the exact GELU of CPUs."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest

from mlx_serve.daemon.engine.encode.activations import activation, gelu


def test_gelu_is_exact() -> None:
    """To float32's own precision around one, from far below to far above zero."""
    values = np.concatenate([np.linspace(-12, 12, 100_001), [-1e6, -40, 0, 40, 1e6]]).astype(np.float32)
    wanted = np.array([0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in values.astype(np.float64)])
    found = np.array(gelu(mx.array(values)))
    np.testing.assert_allclose(found, wanted, rtol=2e-7, atol=2e-6)


def test_half_precision_is_left_to_mlx() -> None:
    values = mx.array([-1.0, 0.5, 3.0], mx.bfloat16)
    assert gelu(values).dtype == mx.bfloat16


@pytest.mark.parametrize(
    ("name", "at_one"),
    [
        ("relu", 1.0),
        ("gelu_new", 0.8412),
        ("silu", 0.7311),
        ("torch.nn.modules.activation.Tanh", math.tanh(1)),
        ("torch.nn.modules.linear.Identity", 1.0),
        ("torch.nn.modules.activation.GELU", 0.8413),
    ],
)
def test_names(name: str, at_one: float) -> None:
    assert float(activation(name)(mx.array(1.0))) == pytest.approx(at_one, abs=1e-3)


def test_a_name_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="'mish' is not supported"):
        activation("mish")
