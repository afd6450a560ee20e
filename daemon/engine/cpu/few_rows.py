"""Products of few rows in tiles, where the BLAS of this machine is faster with them.

MLX's CPU backend has one product for all shapes, `cblas_sgemm`. For large matrices OpenBLAS first copies the weights
into the order that its kernel wants, which pays for hundreds of rows; a decode step has one to a few, and then the copy
takes longer than the product. For AVX-512 it has a second way that copies nothing, and takes it up to 1,200 outputs and
1,000,000 multiplications (kernel/x86_64/sgemm_small_kernel_permit_skylakex.c). So the weights of a layer are seen as
tiles of so many outputs, with no copy, and MLX multiplies with one tile after the other.

Whether that is faster is measured once a process: other processors and other libraries have one way for all.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from ..device import backend
from .stopwatch import faster

LARGEST_OUTPUT = 1200
"""Rows times outputs of a product that OpenBLAS computes without a copy."""

LARGEST_PRODUCT = 1_000_000
"""Rows times inputs times outputs of such a product."""

USUAL_TILE = 256
"""Outputs of a tile where more would do: larger ones were no faster."""

SMALLEST_TILE = 8

MEASURED_ROWS = (1, 4, 8, 16)
MEASURED_SHAPE = (1024, 1024)
PAYS = 0.9


_whole_rows = 0


def leave_whole(rows: int) -> None:
    """Products of up to so many rows are no longer parted: they are fast as a whole now."""
    global _whole_rows
    _whole_rows = rows


@cache
def tile(rows: int, inputs: int, outputs: int) -> int | None:
    """Of how many outputs a tile is; None where the product is small enough as it is, or no tile would be."""
    most = min(LARGEST_OUTPUT // rows, LARGEST_PRODUCT // (rows * inputs))
    if outputs <= most or most < SMALLEST_TILE:
        return None
    most = min(most, USUAL_TILE)
    return next((size for size in range(most, most // 2, -1) if outputs % size == 0), most)


def product(x: mx.array, weight: mx.array, most_rows: int) -> mx.array:
    """`x` (…, inputs) by the transposed `weight` (outputs, inputs): (…, outputs). Up to `most_rows` rows in tiles."""
    outputs, inputs = weight.shape
    rows = x.size // inputs
    size = tile(rows, inputs, outputs) if _whole_rows < rows <= most_rows else None
    if size is None:
        return x @ weight.T
    flat, whole = x.reshape(rows, inputs), outputs - outputs % size
    tiles = weight if whole == outputs else weight[:whole]
    result = (flat @ tiles.reshape(-1, size, inputs).swapaxes(-1, -2)).swapaxes(0, 1)
    if whole != outputs:
        result = mx.concatenate([result.reshape(rows, whole), flat @ weight[whole:].T], axis=-1)
    return result.reshape(*x.shape[:-1], outputs)


class TiledLinear(nn.Linear):  # type: ignore[misc]
    """A linear layer whose products of few rows go in tiles."""

    most_rows = 0

    def __call__(self, x: mx.array) -> mx.array:
        result = product(x, self["weight"], self.most_rows)
        return result + self["bias"] if "bias" in self else result


class TiledEmbedding(nn.Embedding):  # type: ignore[misc]
    """An embedding that does so where it is the output layer as well."""

    most_rows = 0

    def as_linear(self, x: mx.array) -> mx.array:
        """(…, width) to (…, entries)."""
        return product(x, self["weight"], self.most_rows)


def use_tiles(network: Any, most_rows: int | None = None) -> int:
    """Let all plain layers of float32 take tiles where MLX computes on the processor, in place; gives how many do. The
    weights have to be in memory. `most_rows`: up to so many rows; None: up to as many as are faster on this machine."""
    if backend() != "cpu":
        return 0
    most = rows_that_pay() if most_rows is None else most_rows
    if not most:
        return 0
    count = 0
    for _, module in network.named_modules():
        kind = _TILED.get(type(module))
        if kind is not None and module.weight.dtype == mx.float32:
            module.__class__ = kind
            module.most_rows = most
            count += 1
    return count


_TILED: dict[type, Any] = {nn.Linear: TiledLinear, nn.Embedding: TiledEmbedding}


@cache
def rows_that_pay() -> int:
    """Up to how many rows tiles are faster on this machine; 0 where they never are. Takes some 20 ms."""
    most = 0
    weight = mx.ones(MEASURED_SHAPE)
    for rows in MEASURED_ROWS:
        x = mx.ones((rows, MEASURED_SHAPE[1]))
        mx.eval(weight, x)
        plain, tiled = (partial(product, x, weight, most_rows) for most_rows in (0, rows))
        if not faster(tiled, plain, PAYS):
            break
        most = rows
    return most
