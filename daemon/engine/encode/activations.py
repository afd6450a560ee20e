"""Activation functions by the names that configs give them."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

from ..device import backend

Activation = Callable[[mx.array], mx.array]

_ERF = (0.0705230784, 0.0422820123, 0.0092705272, 0.0001520143, 0.0002765672, 0.0000430638)


def gelu(x: mx.array) -> mx.array:
    """Exact, with erf. MLX's erf on CPUs takes 28 ns a number, longer than the products around it; there it is
    1 - p(|x|)^-16 with a polynomial p (Abramowitz and Stegun 7.1.28, off by 3e-7 at most), in half the time."""
    if backend() != "cpu" or x.dtype != mx.float32:
        exact: mx.array = nn.gelu(x)
        return exact
    size = mx.abs(x)
    power = size * (_ERF[5] / 8)  # |x| / sqrt(2) to the sixth, without the first |x|
    for degree in (5, 4, 3, 2, 1):
        power = (power + _ERF[degree - 1] / 2 ** (degree / 2)) * size
    power = power + 1
    for _ in range(4):
        power = power * power
    return mx.maximum(x, 0) - 0.5 * (size / power)


_BY_NAME: dict[str, Activation] = {
    "gelu": gelu,
    "gelu_new": nn.gelu_approx,
    "gelu_fast": nn.gelu_approx,
    "gelu_pytorch_tanh": nn.gelu_approx,
    "relu": nn.relu,
    "silu": nn.silu,
    "swish": nn.silu,
    "tanh": mx.tanh,
    "sigmoid": mx.sigmoid,
    "identity": lambda x: x,
}


def activation(name: str) -> Activation:
    """Of a Transformers config (`gelu`) or a torch module (`torch.nn.modules.activation.Tanh`). Raises ValueError."""
    found = _BY_NAME.get(name.rpartition(".")[2].lower() if name.startswith("torch.") else name)
    if found is None:
        raise ValueError(f"Model type with the activation {name!r} is not supported")
    return found
