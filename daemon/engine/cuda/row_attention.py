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
from typing import Literal

import mlx.core as mx

from .cubins import Code, Cubins
from .nvrtc import CompilerError

Kind = Literal["bf16", "f16", "f32"]
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

_ITEMS: dict[Kind, str] = {"bf16": "u16", "f16": "u16", "f32": "float"}
_WIDEN: dict[Kind, str] = {
    "bf16": "return __uint_as_float((u32)value << 16);",
    "f16": 'float result; asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value)); return result;',
    "f32": "return value;",
}
_NARROW: dict[Kind, str] = {
    "bf16": 'u16 result; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result) : "f"(value)); return result;',
    "f16": 'u16 result; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result) : "f"(value)); return result;',
    "f32": "return value;",
}
_HEADER = """
typedef unsigned int u32;
typedef unsigned short u16;
struct __align__(8) Two { u32 x, y; };
__device__ __forceinline__ float widened(ITEM value) { WIDEN }
__device__ __forceinline__ ITEM narrowed(float value) { NARROW }
"""
_ROWS = """
extern "C" __global__ void __launch_bounds__(32 * WARPS) KERNEL(
    const ITEM* queries, const ITEM* keys, const ITEM* values, const int* counts, TABLE OUT* attended,
    int columns, int group, int per, int factor) {
  constexpr int LANES = 8, PER = D / LANES, AT_ONCE = WARPS * 4, WORDS = PER * sizeof(ITEM) / 8;
  __shared__ float shared_out[WARPS][Q][D];
  __shared__ float shared_top[WARPS][Q];
  __shared__ float shared_sum[WARPS][Q];

  const int row = blockIdx.z, heads = gridDim.y * Q, head = blockIdx.y * Q, key_head = head / group;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, team = lane / LANES, member = lane % LANES;
  const unsigned team_mask = 0xffu << (team * LANES);
  const float scale = __int_as_float(factor) * 1.44269504f;
  const int begin = blockIdx.x * per, end = min(counts[row], begin + per);

  float q[Q][PER], out_part[Q][PER], top[Q], sum[Q];
  const ITEM* const q_at = queries + ((long long)row * heads + head) * D + member * PER;
  #pragma unroll
  for (int g = 0; g < Q; g++) {
    top[g] = -1e30f;
    sum[g] = 0.f;
    #pragma unroll
    for (int j = 0; j < PER; j++) {
      q[g][j] = scale * widened(q_at[g * D + j]);
      out_part[g][j] = 0.f;
    }
  }
  const int key_heads = heads / group;
  union Chunk { Two words[WORDS]; ITEM items[PER]; };
#ifdef PAGE
  int page = begin < end ? pages[row * columns + begin / PAGE] : 0;
#else
  #define PAGE (end - begin)
  #define WHOLE
#endif
  for (int first = begin; first < end; first += PAGE) {
#ifdef WHOLE
  const long long at = ((long long)row * key_heads + key_head) * columns + begin;
#else
  const long long at = ((long long)page * key_heads + key_head) * PAGE;
  if (first + PAGE < end) page = pages[row * columns + first / PAGE + 1];
#endif
  const int last = min(PAGE, end - first);
  const ITEM* const k_at = keys + at * D + member * PER;
  const ITEM* const v_at = values + at * D + member * PER;
  for (int i = warp * 4 + team; i < last; i += AT_ONCE) {
    Chunk k, v;
    const Two* k_words = (const Two*)(k_at + (long long)i * D);
    const Two* v_words = (const Two*)(v_at + (long long)i * D);
    #pragma unroll
    for (int w = 0; w < WORDS; w++) { k.words[w] = k_words[w]; v.words[w] = v_words[w]; }
    #pragma unroll
    for (int g = 0; g < Q; g++) {
      float score = 0.f;
      #pragma unroll
      for (int j = 0; j < PER; j++) score += q[g][j] * widened(k.items[j]);
      score += __shfl_xor_sync(team_mask, score, 1);
      score += __shfl_xor_sync(team_mask, score, 2);
      score += __shfl_xor_sync(team_mask, score, 4);
      const float new_top = fmaxf(top[g], score);
      const float old_share = exp2f(top[g] - new_top);
      const float share = exp2f(score - new_top);
      top[g] = new_top;
      sum[g] = sum[g] * old_share + share;
      #pragma unroll
      for (int j = 0; j < PER; j++) out_part[g][j] = out_part[g][j] * old_share + share * widened(v.items[j]);
    }
  }
  }
  __syncwarp();
  #pragma unroll
  for (int g = 0; g < Q; g++) {
    for (int step = LANES; step < 32; step *= 2) {
      const float other_top = __shfl_xor_sync(0xffffffffu, top[g], step);
      const float other_sum = __shfl_xor_sync(0xffffffffu, sum[g], step);
      const float new_top = fmaxf(top[g], other_top);
      const float mine = exp2f(top[g] - new_top), theirs = exp2f(other_top - new_top);
      sum[g] = sum[g] * mine + other_sum * theirs;
      #pragma unroll
      for (int j = 0; j < PER; j++) {
        const float other = __shfl_xor_sync(0xffffffffu, out_part[g][j], step);
        out_part[g][j] = out_part[g][j] * mine + other * theirs;
      }
      top[g] = new_top;
    }
    if (team == 0) {
      #pragma unroll
      for (int j = 0; j < PER; j++) shared_out[warp][g][member * PER + j] = out_part[g][j];
      if (member == 0) { shared_top[warp][g] = top[g]; shared_sum[warp][g] = sum[g]; }
    }
  }
  __syncthreads();
  for (int place = threadIdx.x; place < Q * D; place += WARPS * 32) {
    const int g = place / D, d = place % D;
    float highest = shared_top[0][g];
    for (int w = 1; w < WARPS; w++) highest = fmaxf(highest, shared_top[w][g]);
    float total = 0.f, weights = 0.f;
    for (int w = 0; w < WARPS; w++) {
      const float share = exp2f(shared_top[w][g] - highest);
      total += share * shared_out[w][g][d];
      weights += share * shared_sum[w][g];
    }
    const long long at = (long long)row * heads + head + g;
    FINISH
  }
}
"""
_WHOLE = "attended[at * D + d] = narrowed(total / weights);"
_PART = """
    float* const part = attended + (at * gridDim.x + blockIdx.x) * (D + 2);
    part[d] = total;
    if (d == 0) { part[D] = highest; part[D + 1] = weights; }
"""
_SUM = """
extern "C" __global__ void __launch_bounds__(D) KERNEL(const float* parts, ITEM* attended, int blocks) {
  const int d = threadIdx.x;
  const long long at = (long long)blockIdx.z * gridDim.y + blockIdx.y;
  const float* const from = parts + at * blocks * (D + 2);
  float highest = -1e30f, total = 0.f, weights = 0.f;
  #pragma unroll 8
  for (int i = 0; i < blocks; i++) highest = fmaxf(highest, from[i * (D + 2) + D]);
  #pragma unroll 8
  for (int i = 0; i < blocks; i++) {
    const float share = exp2f(from[i * (D + 2) + D] - highest);
    total += share * from[i * (D + 2) + d];
    weights += share * from[i * (D + 2) + D + 1];
  }
  attended[at * D + d] = narrowed(total / weights);
}
"""


def rows_source(kind: Kind, width: int, at_once: int, page: int, warps: int, *, shared: bool) -> str:
    """queries (rows, heads, width), keys and values (rows or more, key heads, columns, width) of `kind`, int32 counts
    (rows,), and the output: (rows, heads, width) of `kind`, or with `shared`, float32 (rows, heads, blocks, width + 2),
    sums of a block's values, then the highest score and the sum of the weights. Then the numbers of columns, of query
    heads a key head, and of columns a block, int32, and the bits of what scores are multiplied with, a float32, for MLX
    hands on no float. A block has `at_once` heads. With a `page` of so many columns, 0 for none, keys and values are
    (pages, key heads, page, width), after the counts comes an int32 (rows, pages of the longest row), the first number
    is that of these, and that of columns a block a multiple of `page`."""
    own = [f"#define Q {at_once}", f"#define WARPS {warps}", f"#define OUT {'float' if shared else 'ITEM'}"]
    own += [f"#define PAGE {page}", "#define TABLE const int* pages,"] if page else ["#define TABLE"]
    kernel = _ROWS.replace("FINISH", _PART if shared else _WHOLE)
    return "\n".join([*_lines(kind, width), *own, _header(kind), kernel])


def sum_source(kind: Kind, width: int) -> str:
    """What the blocks found, as above, and (rows, heads, width) of `kind`; then the number of blocks."""
    return "\n".join([*_lines(kind, width), _header(kind), _SUM])


def _lines(kind: Kind, width: int) -> list[str]:
    return [f"#define ITEM {_ITEMS[kind]}", f"#define D {width}"]


def _header(kind: Kind) -> str:
    return _HEADER.replace("WIDEN", _WIDEN[kind]).replace("NARROW", _NARROW[kind])


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
