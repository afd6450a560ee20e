"""Activation functions by the names that configs give them."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

Activation = Callable[[mx.array], mx.array]

_BY_NAME: dict[str, Activation] = {
    "gelu": nn.gelu,
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
