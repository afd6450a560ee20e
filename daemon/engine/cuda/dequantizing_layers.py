"""Quantized layers that unpack their weights for a product of many rows, on NVIDIA GPUs.

MLX 0.32.4 multiplies quantized weights with eight rows or more by kernels that read all weights again for every 16 to
64 rows (mlx/backend/cuda/quantized/qmm/qmm_sm80.cu; qmm_naive.cu for other forms), and has each of them compiled when
it is first met, for 17 to 27 s. Unpacking once and multiplying with cuBLAS takes a fraction of the time and is in
MLX's library already. The numbers are the same: those kernels unpack to the same half precision.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn

FEWEST_ROWS = 8
"""Fewer are multiplied by MLX's kernel for vectors, which needs no compiler and reads the weights packed."""

KINDS = (mx.bfloat16, mx.float16)


class DequantizingLinear(nn.QuantizedLinear):  # type: ignore[misc]
    """A linear layer whatever its form of quantization is."""

    def __call__(self, x: mx.array) -> mx.array:
        if not _many(x):
            plain: mx.array = super().__call__(x)
            return plain
        result = x @ _weight(self, x.dtype).T
        return result + self["bias"] if "bias" in self else result


class DequantizingEmbedding(nn.QuantizedEmbedding):  # type: ignore[misc]
    """An embedding where it is the output layer as well."""

    def as_linear(self, x: mx.array) -> mx.array:
        """(…, width) to (…, entries)."""
        if not _many(x):
            plain: mx.array = super().as_linear(x)
            return plain
        return x @ _weight(self, x.dtype).T


def use_dequantized(network: Any) -> int:
    """Let all quantized layers of a network unpack their weights for many rows, in place; gives how many do."""
    count = 0
    for _, module in network.named_modules():
        kind = _LAYERS.get(type(module))
        if kind is not None and "global_scale" not in module:
            module.__class__ = kind
            count += 1
    return count


_LAYERS: dict[type, Any] = {nn.QuantizedLinear: DequantizingLinear, nn.QuantizedEmbedding: DequantizingEmbedding}


def _many(x: mx.array) -> bool:
    return x.dtype in KINDS and x.size // x.shape[-1] >= FEWEST_ROWS


def _weight(layer: Any, dtype: mx.Dtype) -> mx.array:
    """(outputs, inputs) in this precision."""
    form = {"group_size": layer.group_size, "bits": layer.bits, "mode": layer.mode}
    weight = mx.dequantize(layer["weight"], layer["scales"], layer.get("biases"), **form)
    return weight.astype(dtype)
