"""What stands for MLX's attention on NVIDIA GPUs: our kernels where they know what is asked, else MLX's own.

MLX's is cuDNN's there, which is two to three times as fast as ours for long prompts, but plans each shape first, 45 to
75 ms of the processor on the H200s seen, and takes a second or more before its first plan. So a shape is computed with
our kernel until that and the layers to come have cost as much as a plan would have: what never comes again costs no
plan, and what is large or comes often is as fast as it can be. And nothing is planned before `plans`, for which a model
takes the time when it rests: with it come the plans of whole chunks, which every long prompt is read in.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx

from ..cuda.causal import TILE, CausalAttention
from ..cuda.cubins import Cubins
from ..cuda.row_attention import KINDS, WIDTHS, RowAttention
from .common_beginning import Beginnings, joined
from .pages import scatter
from .ragged import Attention, Ragged

PLAN_WORK = 2e13
"""Operations that our kernel takes as much longer for as a plan takes: some 60 ms, at 200 and 600 TFLOPS on an H200."""
LAYERS = 24
"""Calls that are likely to come with a shape when it comes: a model has about so many layers."""
PLANNED_WIDTH = 128
"""cuDNN knows no wider heads, as MLX calls it."""
SMALL = 64
MOST_SHAPES = 256
OLDEST = 80
"""The least compute capability, times ten: that of the products (mma.m16n8k16 with bfloat16) and of cp.async."""


class CudaAttention:
    """Installed once in a child on CUDA, in place of `mx.fast.scaled_dot_product_attention`."""

    def __init__(self, plain: Attention) -> None:
        """Kernels are kept where the environment tells MLX to keep its own."""
        folder = os.environ.get("MLX_PTX_CACHE_DIR")
        self._plain = plain
        cubins = Cubins(Path(folder) if folder else None)
        self._rows = RowAttention(cubins)
        architecture = str(mx.device_info().get("architecture", "")).removeprefix("sm_").rstrip("af")
        self._causal = (
            CausalAttention(plain, cubins) if architecture.isdigit() and int(architecture) >= OLDEST else None
        )
        self._work: dict[tuple[Any, ...], float] = {}
        self._heads: set[tuple[int, int, int, mx.Dtype]] = set()
        self._chunks: set[tuple[Any, ...]] = set()
        self._tried = self._loaded = False

    def reads_pages(self, keys: mx.array, values: mx.array) -> bool:
        """Whether attention of one token a row has a kernel for such keys and values, (rows, heads, columns, width), as
        far as is known before it is asked for."""
        alike = keys.shape[3] == values.shape[3] and keys.dtype == values.dtype
        return alike and keys.shape[3] in WIDTHS and keys.dtype in KINDS and not self._rows.broken

    def reads_beginnings(self, tokens: int) -> bool:
        """Whether attention of prompts may be asked for by `Beginnings` of so many tokens."""
        return self._causal is not None and tokens % TILE == 0

    def plans(self, chunk: int, longest: int, memory: int | None) -> Iterator[None]:
        """Have cuDNN's libraries loaded by a small attention, and whole chunks of prompts planned: of `chunk` tokens
        behind none, one, two and more others, up to `longest` tokens, for the heads that prompts have had here, as far
        as keys and values fit into so many bytes; and the kernels loaded that copy scattered pages. For the thread that
        computes prompts, one a step; once. Where that fails no more is planned, and the log says so."""
        if self._causal is None or self._tried:
            return
        self._tried = True
        try:
            self._plan(1, 1, SMALL, SMALL, PLANNED_WIDTH, mx.bfloat16)
            self._loaded = True
            yield
            for heads, key_heads, width, dtype in self._heads:
                scatter(key_heads, width, dtype)
                yield
                for keys in range(chunk, longest + 1, chunk):
                    if memory is not None and 2 * key_heads * keys * width * dtype.size > memory:
                        break
                    self._plan(heads, key_heads, chunk, keys, width, dtype)
                    self._chunks.add((1, heads, chunk, width, key_heads, keys, dtype))
                    yield
        except RuntimeError as error:
            sys.stderr.write(f"plan attention: {' '.join(str(error).split())[:300]}\n")
            sys.stderr.flush()

    def forget(self) -> None:
        """Neither the heads nor the shapes that were seen are those of the model to come."""
        self._heads.clear()
        self._work.clear()

    def _plan(self, heads: int, key_heads: int, queries: int, keys: int, width: int, dtype: mx.Dtype) -> None:
        q = mx.zeros((1, heads, queries, width), dtype=dtype)
        k, v = (mx.zeros((1, key_heads, keys, width), dtype=dtype) for _ in range(2))
        mx.eval(self._plain(q, k, v, scale=1.0, mask="causal"))

    def __call__(
        self, q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Any = None, **options: Any
    ) -> mx.array:
        own = options.get("sinks") is None
        if isinstance(mask, Beginnings):
            first = mask.of(k)
            if own and self._causal is not None and self._causal.fits(q, k, v, "causal"):
                return self._causal(q, k, v, scale, causal=True, first=first)
            k, v = joined(first[0], k), joined(first[1], v)
            mask = "causal" if q.shape[2] > 1 else None
        if isinstance(mask, Ragged):
            if own and self._rows.fits(q, k, v, paged=mask.table is not None):
                return self._rows(q, k, v, scale, mask.counts, mask.longest, mask.table)
            plain = None if len(set(mask.lengths)) == 1 else mask.mask()
            return self._plain(q, mask.cut(k), mask.cut(v), scale=scale, mask=plain, **options)
        if own and self._causal is not None and self._causal.fits(q, k, v, mask):
            if mask is not None and (*q.shape, *k.shape[1:3], q.dtype) in self._chunks:  # in the layout of the plan
                q, k, v = (mx.contiguous(part) for part in (q, k, v))
            elif not self._planned(q, k, mask):
                return self._causal(q, k, v, scale, causal=mask is not None)
        return self._plain(q, k, v, scale=scale, mask=mask, **options)

    def _planned(self, q: mx.array, k: mx.array, mask: Any) -> bool:
        """Whether a plan pays, by what was computed with these shapes and what is likely to come; counts it in."""
        rows, heads, queries, width = q.shape
        if width > PLANNED_WIDTH:
            return False
        if not self._tried and mask is not None:
            self._heads.add((heads, k.shape[1], width, q.dtype))
        key = (*q.shape, *k.shape[1:3], mask)
        unseen = queries * (queries - 1) / 2 if mask is not None else 0.0
        each = 4.0 * rows * heads * width * (queries * k.shape[2] - unseen)
        work = self._work.pop(key, 0.0)
        planned = self._loaded and work + LAYERS * each >= PLAN_WORK
        self._work[key] = work if planned else work + each
        if len(self._work) > MOST_SHAPES:
            del self._work[next(iter(self._work))]
        return planned
