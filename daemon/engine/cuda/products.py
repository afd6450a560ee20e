"""Products of few rows on an NVIDIA GPU, in one kernel each.

MLX gives a product of more than one row to cuBLAS: descriptors, a choice among algorithms, and a graph captured within
the graph, for every product of every step, which takes the processor several times what a kernel takes. And its
quantized product of 2 to 64 rows takes many times as long as reading the weights does. Here a step's products are
kernels of their own (`product_source`).
"""

from __future__ import annotations

import mlx.core as mx

from .cubins import Code, Cubins
from .product_source import OUTPUTS_AT_ONCE, ROWS_AT_ONCE, THREADS, Kind, dense, quantized

KINDS: dict[mx.Dtype, Kind] = {mx.bfloat16: "bf16", mx.float16: "f16"}
MOST_ROWS = 64
BITS = (4, 8)
GROUPS = (32, 64, 128)

ROW_TILES = (1, 2, 3, 4, 6, 8)
_MANY_TILES = 4
_MANY_OUTPUTS = 16384


class Products:
    """Each takes x (…, inputs) of 2 to MOST_ROWS rows in all, and gives (…, outputs). Raises CompilerError where a
    kernel cannot be made."""

    def __init__(self, cubins: Cubins) -> None:
        self._cubins = cubins

    def dense(self, x: mx.array, weight: mx.array) -> mx.array:
        """`weight` (outputs, inputs) of x's type, a multiple of 8 inputs."""
        return _call(self._dense(weight.dtype, row_tiles(x)), [x, weight], 1)

    def quantized(
        self, x: mx.array, weight: mx.array, scales: mx.array, biases: mx.array, *, bits: int, group: int
    ) -> mx.array:
        """`weight`, `scales` and `biases` as MLX quantizes them, affinely; `bits` one of BITS, `group` of GROUPS."""
        tiles = row_tiles(x)
        wide = output_tiles(weight.shape[0], tiles)
        code = self._quantized(scales.dtype, tiles, wide, bits, group)
        return _call(code, [x, weight, scales, biases], wide)

    def prepare_dense(self, dtype: mx.Dtype) -> None:
        """Compile what products of such weights take, for any number of rows. From any thread: nothing is computed."""
        for tiles in ROW_TILES:
            self._dense(dtype, tiles)

    def prepare_quantized(self, dtype: mx.Dtype, outputs: int, bits: int, group: int) -> None:
        """The same for quantized weights with scales of `dtype`."""
        for tiles in ROW_TILES:
            self._quantized(dtype, tiles, output_tiles(outputs, tiles), bits, group)

    def _dense(self, dtype: mx.Dtype, tiles: int) -> Code:
        return self._cubins.get("product", dense, KINDS[dtype], tiles, 1)

    def _quantized(self, dtype: mx.Dtype, tiles: int, wide: int, bits: int, group: int) -> Code:
        return self._cubins.get("quantized_product", quantized, KINDS[dtype], tiles, wide, bits, group)


def row_tiles(x: mx.array) -> int:
    """How many times 8 rows a block computes."""
    rows = x.size // x.shape[-1]
    return next(size for size in ROW_TILES if size * ROWS_AT_ONCE >= rows)


def output_tiles(outputs: int, rows: int) -> int:
    """How many times 16 outputs a block computes that unpacks weights: twice where many rows are read again for each
    block, or blocks enough are left, as measured on one H200."""
    return 2 if rows >= _MANY_TILES or outputs >= _MANY_OUTPUTS else 1


def _call(code: Code, arrays: list[mx.array], wide: int) -> mx.array:
    x, outputs = arrays[0], arrays[1].shape[0]
    blocks = -(-outputs // (OUTPUTS_AT_ONCE * wide))
    result: mx.array = mx.fast.precompiled_cuda_kernel(
        name=code.name,
        compiled_source=code.image,
        inputs=arrays,
        output_shapes=[(*x.shape[:-1], outputs)],
        output_dtypes=[x.dtype],
        scalars=[x.size // x.shape[-1], outputs, x.shape[-1]],
        grid=(blocks * THREADS, 1, 1),
        threadgroup=(THREADS, 1, 1),
        ensure_row_contiguous=True,
    )[0]
    return result
