"""Attention of prompts on NVIDIA GPUs, in one kernel for all lengths.

MLX gives it to cuDNN, which makes a plan for each shape and layout of queries and keys that it meets: 45 to 75 ms of
the processor, and each turn of a conversation has lengths that no other one had. For heads wider than 128 there is no
plan, and scores are written to memory. This kernel takes lengths as they come: a block has 16 queries a warp of one
head, goes over the keys in tiles, and keeps an online softmax in float32 (Milakov and Gimelshein 2018; Dao 2023,
"FlashAttention-2", algorithm 1) around products on the tensor cores (PTX ISA, "Matrix fragments for mma.m16n8k16").
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import mlx.core as mx

from .causal_source import HEADER, causal_body, causal_source
from .cubins import Cubins
from .nvrtc import CompilerError
from .strided_kernel import Argument, kernel_on_disk

Attention = Callable[..., mx.array]

WIDTHS = (64, 80, 96, 128, 192, 256)
"""Numbers of a head; what a key has, a value has too."""
KINDS = (mx.bfloat16, mx.float16)

TILE = 64
"""Keys of the largest tile: what comes first is a multiple of it."""
_WARPS = 4
_BLOCK = 16 * _WARPS  # queries
_WIDE = 128  # heads so wide have larger tiles of keys
_CLOSE = 0.02  # of the greatest number: the noise of half precision
_MOST_FACTORS = 256  # arrays of three numbers that are kept
_PAD = 8  # numbers after each line in shared memory: so eight lines begin in different banks

Kernel = Callable[..., list[mx.array]]


class CausalAttention:
    """Attention of two queries or more, where each sees the keys up to its own place, or all of them: q (rows, heads,
    queries, width), k and v (rows, key heads, keys, width). `first`: keys and values before these that all rows have in
    common, (1, key heads, keys, width), a multiple of TILE; they are read where they are."""

    def __init__(self, plain: Attention, cubins: Cubins) -> None:
        self._plain = plain
        self._cubins = cubins
        self._factors: dict[tuple[float, bool, int], mx.array] = {}
        self._right: dict[tuple[int, mx.Dtype], Kernel | None] = {}

    def fits(self, q: mx.array, k: mx.array, v: mx.array, mask: Any) -> bool:
        """Whether the kernel knows these, and has shown once in this process that it gives what MLX does."""
        width = q.shape[-1]
        alike = q.dtype == k.dtype == v.dtype and q.dtype in KINDS and width == k.shape[-1] == v.shape[-1]
        plain = mask is None or (isinstance(mask, str) and mask == "causal" and q.shape[2] <= k.shape[2])
        known = alike and plain and width in WIDTHS and q.shape[2] > 1 and k.shape[2] > 0
        return known and self._kernel(width, q.dtype) is not None

    def __call__(
        self,
        q: mx.array,
        k: mx.array,
        v: mx.array,
        scale: float,
        *,
        causal: bool,
        first: tuple[mx.array, mx.array] | None = None,
    ) -> mx.array:
        """What `mx.fast.scaled_dot_product_attention` gives, (rows, heads, queries, width)."""
        rows, heads, queries, width = q.shape
        kernel = self._kernel(width, q.dtype)
        assert kernel is not None
        first_keys, first_values = first or (k, v)
        factors = (scale, causal, 0 if first is None else first_keys.shape[2])
        if factors not in self._factors:
            if len(self._factors) >= _MOST_FACTORS:
                del self._factors[next(iter(self._factors))]
            self._factors[factors] = mx.array([float(one) for one in factors], dtype=mx.float32)
        attended: mx.array = kernel(
            inputs=[q, k, v, first_keys, first_values, self._factors[factors]],
            grid=(-(-queries // _BLOCK) * 32 * _WARPS, heads, rows),
            threadgroup=(32 * _WARPS, 1, 1),
            output_shapes=[(rows, queries, heads, width)],
            output_dtypes=[q.dtype],
        )[0]
        return attended.transpose(0, 2, 1, 3)

    def _kernel(self, width: int, dtype: mx.Dtype) -> Kernel | None:
        """The one for such heads, tried once; None where there is none that gives what MLX does, which the log says."""
        key = (width, dtype)
        if key not in self._right:
            right = None  # where this raises
            try:
                right = self._tried(width, dtype)
            finally:
                self._right[key] = right
        return self._right[key]

    def _tried(self, width: int, dtype: mx.Dtype) -> Kernel | None:
        makers: tuple[Callable[[Cubins, int, mx.Dtype], Kernel | None], ...] = (_on_disk, _compiled_by_mlx)
        problem = ""
        for make in makers:
            try:
                self._right[width, dtype] = kernel = make(self._cubins, width, dtype)
                if kernel is not None and self._works(width, dtype):
                    return kernel
                problem = problem if kernel is None else "it does not give what MLX does"
            except (CompilerError, RuntimeError) as error:
                problem = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        sys.stderr.write(f"use own attention of prompts: {problem}\n")
        sys.stderr.flush()
        return None

    def _works(self, width: int, dtype: mx.Dtype) -> bool:
        """Beside MLX's own in float32."""
        q, k, v = (mx.random.normal((1, 2, 9, width), key=mx.random.key(seed)).astype(dtype) for seed in range(3))
        first_k, first_v = (mx.random.normal((1, 2, TILE, width), key=mx.random.key(n)).astype(dtype) for n in (3, 4))
        scale = width**-0.5
        for first in (None, (first_k, first_v)):
            ours = self(q, k, v, scale, causal=True, first=first).astype(mx.float32)
            whole = (k, v) if first is None else (mx.concatenate([first_k, k], 2), mx.concatenate([first_v, v], 2))
            theirs = self._plain(*(part.astype(mx.float32) for part in (q, *whole)), scale=scale, mask="causal")
            if not bool(mx.abs(ours - theirs).max() <= _CLOSE * mx.abs(theirs).max()):
                return False
        return True


def _on_disk(cubins: Cubins, width: int, dtype: mx.Dtype) -> Kernel | None:
    """Compiled once for a machine, where kernels are kept."""
    shared_memory, inputs, output = _shared_memory(width), _inputs(dtype), Argument("attended", dtype)
    source = partial(
        causal_source, width=width, keys=_keys(width), warps=_WARPS, pad=_PAD, bfloat16=dtype == mx.bfloat16
    )
    kernel: Kernel | None = kernel_on_disk(cubins, "causal", source, inputs, output, shared_memory)
    return kernel


def _compiled_by_mlx(cubins: Cubins, width: int, dtype: mx.Dtype) -> Kernel:
    """In this process, which takes a second or two."""
    kernel = mx.fast.cuda_kernel(
        name=f"causal_{width}_{'bf16' if dtype == mx.bfloat16 else 'f16'}",
        input_names=[one.name for one in _inputs(dtype)],
        output_names=["attended"],
        source=causal_body(width, _keys(width), _WARPS, _PAD, bfloat16=dtype == mx.bfloat16),
        header=HEADER,
        ensure_row_contiguous=False,
        shared_memory=_shared_memory(width),
    )
    return cast(Kernel, kernel)


def _inputs(dtype: mx.Dtype) -> list[Argument]:
    return [
        Argument("queries", dtype, shape=True, strides=True),
        Argument("keys", dtype, shape=True, strides=True),
        Argument("values", dtype, strides=True),
        Argument("first_keys", dtype, strides=True),
        Argument("first_values", dtype, strides=True),
        Argument("factor", mx.float32),
    ]


def _keys(width: int) -> int:
    """Of a tile."""
    return TILE if width <= _WIDE else TILE // 2


def _shared_memory(width: int) -> int:
    """Bytes of a block: its queries, and a tile of keys and one of values."""
    return 2 * (_BLOCK + 2 * _keys(width)) * (width + _PAD)
