"""In which precision a model computes: half precision is for devices that are fast with it, and CPUs are not."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from ..device import backend

_HALF = (mx.bfloat16, mx.float16)
_SHARE_OF_MEMORY = 0.5


def widen(network: Any, memory: int | None) -> bool:
    """Turn half precision weights of a lazily loaded network into float32 where that is faster and they leave room.

    Every bfloat16 and float16 is exact in float32, so nothing of the model is lost, and sums become more exact.
    `memory`: bytes that the model may take, None for no limit. Packed (quantized) weights stay packed.
    """
    if backend() != "cpu":
        return False
    arrays = [array for _, array in tree_flatten(network.parameters())]
    wide = sum(array.size * 4 if array.dtype in _HALF else array.nbytes for array in arrays)
    if not any(array.dtype in _HALF for array in arrays) or (memory is not None and wide > memory * _SHARE_OF_MEMORY):
        return False
    network.set_dtype(mx.float32, lambda dtype: dtype in _HALF)
    return True
