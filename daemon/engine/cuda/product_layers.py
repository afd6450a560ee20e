"""Linear layers, and quantized embeddings that are output layers too, that multiply few rows by kernels of our own, on
NVIDIA GPUs."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from .dequantizing_layers import DequantizingEmbedding, DequantizingLinear
from .products import BITS, GROUPS, KINDS, MOST_ROWS, Products

MOST_BYTES = 32 << 20
"""Of the weights of a dense layer: larger ones are read so long that the processor's share does not matter, and cuBLAS
reads them faster."""


class FewRowsLinear(nn.Linear):  # type: ignore[misc]
    """A linear layer of half precision."""

    products: Products

    def __call__(self, x: mx.array) -> mx.array:
        weight = self["weight"]
        if not _few(x, weight.dtype):
            plain: mx.array = super().__call__(x)
            return plain
        result = self.products.dense(x, weight)
        return result + self["bias"] if "bias" in self else result


class FewRowsQuantizedLinear(DequantizingLinear):
    """A linear layer that MLX has quantized affinely."""

    products: Products

    def __call__(self, x: mx.array) -> mx.array:
        if not _few(x, self["scales"].dtype):
            return super().__call__(x)
        result = _quantized(self, x)
        return result + self["bias"] if "bias" in self else result


class FewRowsQuantizedEmbedding(DequantizingEmbedding):
    """An embedding that MLX has quantized affinely, where it is the output layer as well."""

    products: Products

    def as_linear(self, x: mx.array) -> mx.array:
        """(…, width) to (…, entries)."""
        if not _few(x, self["scales"].dtype):
            return super().as_linear(x)
        return _quantized(self, x)


def _quantized(layer: Any, x: mx.array) -> mx.array:
    weight, scales, biases = layer["weight"], layer["scales"], layer["biases"]
    products: Products = layer.products
    return products.quantized(x, weight, scales, biases, bits=layer.bits, group=layer.group_size)


def _few(x: mx.array, dtype: mx.Dtype) -> bool:
    return 1 < x.size // x.shape[-1] <= MOST_ROWS and x.dtype == dtype


def use_products(network: Any, products: Products) -> int:
    """Let all layers take these products that can, in place; gives how many do. The weights have to be in memory, and
    quantized layers be of those that unpack them (`use_dequantized`)."""
    count = 0
    for _, module in network.named_modules():
        kind = _KINDS.get(type(module))
        if kind is not None and _fits(module):
            module.__class__ = kind
            module.products = products
            count += 1
    return count


def prepare(network: Any, products: Products) -> None:
    """Compile all that its layers may ask for; needs no device. Raises CompilerError."""
    dense: set[mx.Dtype] = set()
    quantized: set[tuple[mx.Dtype, int, int, int]] = set()
    for _, module in network.named_modules():
        if isinstance(module, FewRowsLinear):
            dense.add(module.weight.dtype)
        elif isinstance(module, FewRowsQuantizedLinear | FewRowsQuantizedEmbedding):
            quantized.add((module.scales.dtype, module.weight.shape[0], module.bits, module.group_size))
    for dtype in dense:
        products.prepare_dense(dtype)
    for form in quantized:
        products.prepare_quantized(*form)


def undo(network: Any) -> None:
    """Make all layers what they were."""
    for _, module in network.named_modules():
        if type(module) in _KINDS.values():
            module.__class__ = type(module).__bases__[0]
            del module.products


_KINDS: dict[type, Any] = {
    nn.Linear: FewRowsLinear,
    DequantizingLinear: FewRowsQuantizedLinear,
    DequantizingEmbedding: FewRowsQuantizedEmbedding,
}


def _fits(module: Any) -> bool:
    width = module.weight.shape[1]
    if isinstance(module, nn.Linear):
        return module.weight.dtype in KINDS and width % 8 == 0 and module.weight.nbytes <= MOST_BYTES
    known = module.mode == "affine" and module.bits in BITS and module.group_size in GROUPS
    return known and module.scales.dtype in KINDS and width * 32 // module.bits % module.group_size == 0
