"""Attention of one new token a row over caches of different lengths, on NVIDIA GPUs.

MLX's CUDA backend has no fused attention with an array mask: a masked step takes six operations a layer, not one. And
without a mask cuDNN makes a plan for each capacity of the caches, for each thread anew. This kernel reads each row's
own number of columns of a cache's whole buffers, or of a row's pages. Where the columns are many, several blocks share
a row's, and a second kernel adds up what they found. The arithmetic is online softmax in float32 (Milakov and
Gimelshein 2018; FlashAttention's decode form, and its split over keys, "Flash-Decoding").
"""

from __future__ import annotations

import struct
import sys
from functools import cache

import mlx.core as mx

from .cubins import Code, Cubins
from .nvrtc import CompilerError
from .row_attention_source import Kind, rows_source, sum_source

KINDS: dict[mx.Dtype, Kind] = {mx.bfloat16: "bf16", mx.float16: "f16", mx.float32: "f32"}
WIDTHS = (64, 96, 128, 192, 256)
"""Numbers of a head."""
UNSHARED, FEW_UNSHARED = 1024, 512
"""So many columns of a row are one block's at most; and where there are few blocks."""
PER_BLOCK, MOST_BLOCKS = 512, 64
"""Of more, each block has about so many, and a row so many blocks a head."""
FEW_BLOCKS = 64
"""With no more than these the GPU has room for larger ones."""
WARPS, FEW_WARPS = 4, 8
"""Of a block, and of one of few; 8 at most, for a thread may have 255 registers and a block 65,536."""


class RowAttention:
    """q (rows, heads, 1, width), k and v (rows or more, key heads, columns, width), or (pages, key heads, columns of a
    page, width) with a table of the rows' pages."""

    def __init__(self, cubins: Cubins) -> None:
        self._cubins = cubins
        self._made: dict[tuple[Kind, int, int, int], tuple[Code, Code, Code, Code] | None] = {}

    @property
    def broken(self) -> bool:
        """Whether the compiler has failed."""
        return None in self._made.values()

    def fits(self, q: mx.array, k: mx.array, v: mx.array, *, paged: bool = False) -> bool:
        """Whether there is a kernel for these."""
        known = q.shape[-1] == k.shape[-1] == v.shape[-1] and q.shape[-1] in WIDTHS
        same = q.dtype == k.dtype == v.dtype and q.dtype in KINDS
        return known and same and q.shape[2] == 1 and self._codes(q, k, k.shape[2] if paged else 0) is not None

    def __call__(
        self,
        q: mx.array,
        k: mx.array,
        v: mx.array,
        scale: float,
        counts: mx.array,
        longest: int,
        table: mx.array | None = None,
    ) -> mx.array:
        """What `mx.fast.scaled_dot_product_attention` gives, (rows, heads, 1, width). Row i sees its first `counts[i]`
        columns, int32 of shape (rows,), `longest` at most; with a `table`, int32 (rows, pages), those of its pages."""
        rows, heads, _, width = q.shape
        page = 0 if table is None else k.shape[2]
        codes = self._codes(q, k, page)
        assert codes is not None
        group = heads // k.shape[1]
        at_once = _at_once(group, width)
        few = rows * heads // at_once <= FEW_BLOCKS
        blocks = 1 if longest <= (FEW_UNSHARED if few else UNSHARED) else min(MOST_BLOCKS, -(-longest // PER_BLOCK))
        per = -(-longest // blocks)
        if page:
            per = -(-per // page) * page
            blocks = -(-longest // per)
        warps = FEW_WARPS if blocks == 1 and few else WARPS
        code = codes[2] if blocks > 1 else codes[1] if few else codes[0]
        attended: mx.array = mx.fast.precompiled_cuda_kernel(
            name=code.name,
            compiled_source=code.image,
            inputs=[q, k, v, counts] if table is None else [q, k, v, counts, table],
            output_shapes=[q.shape if blocks == 1 else (rows, heads, blocks, width + 2)],
            output_dtypes=[q.dtype if blocks == 1 else mx.float32],
            scalars=[k.shape[2] if table is None else table.shape[1], group, per, _bits(scale)],
            grid=(32 * warps * blocks, heads // at_once, rows),
            threadgroup=(32 * warps, 1, 1),
            ensure_row_contiguous=True,
        )[0]
        if blocks == 1:
            return attended
        whole: mx.array = mx.fast.precompiled_cuda_kernel(
            name=codes[3].name,
            compiled_source=codes[3].image,
            inputs=[attended],
            output_shapes=[q.shape],
            output_dtypes=[q.dtype],
            scalars=[blocks],
            grid=(width, heads, rows),
            threadgroup=(width, 1, 1),
            ensure_row_contiguous=True,
        )[0]
        return whole

    def _codes(self, q: mx.array, k: mx.array, page: int) -> tuple[Code, Code, Code, Code] | None:
        """For many blocks, for few, for shared rows, and the sum of these; None where the compiler fails. All at once,
        so that no long row waits for a compiler later."""
        kind, width = KINDS[q.dtype], q.shape[-1]
        key = (kind, width, _at_once(q.shape[1] // k.shape[1], width), page)
        if key not in self._made:
            try:
                self._made[key] = (
                    self._cubins.get("rows", rows_source, *key, WARPS, shared=False),
                    self._cubins.get("rows", rows_source, *key, FEW_WARPS, shared=False),
                    self._cubins.get("rows", rows_source, *key, WARPS, shared=True),
                    self._cubins.get("sum_rows", sum_source, kind, width),
                )
            except CompilerError as error:
                self._made[key] = None
                sys.stderr.write(f"use own attention of rows: {error}\n")
                sys.stderr.flush()
        return self._made[key]


@cache
def _at_once(group: int, width: int) -> int:
    """How many heads of a group a block computes."""
    return next(size for size in (4, 3, 2, 1) if group % size == 0 and size * width <= 512)


@cache
def _bits(number: float) -> int:
    """Of a float32, as an int32."""
    return int.from_bytes(struct.pack("<f", number), "little", signed=True)
