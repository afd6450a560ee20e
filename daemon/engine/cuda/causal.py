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
from functools import cache
from typing import Any

import mlx.core as mx

Attention = Callable[..., mx.array]

WIDTHS = (64, 80, 96, 128, 192, 256)
"""Numbers of a head; what a key has, a value has too."""
KINDS = (mx.bfloat16, mx.float16)

_WARPS = 4
_WIDE = 128  # heads so wide have larger tiles of keys
_CLOSE = 0.02  # of the greatest number: the noise of half precision
_PAD = 8  # numbers after each line in shared memory: so eight lines begin in different banks
_HEADER = """
namespace causal {
typedef unsigned int u32;
typedef unsigned short u16;

template <bool BF>
__device__ __forceinline__ void multiply(float (&sums)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  if constexpr (BF)
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <bool BF>
__device__ __forceinline__ u32 pair(float low, float high) {
  u32 result;
  if constexpr (BF) asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  else asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
}
__device__ __forceinline__ u32 place(const u16* at) { return (u32)__cvta_generic_to_shared(at); }
__device__ __forceinline__ void load(u32 (&four)[4], u32 at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
      : "=r"(four[0]), "=r"(four[1]), "=r"(four[2]), "=r"(four[3]) : "r"(at));
}
__device__ __forceinline__ void load_turned(u32 (&four)[4], u32 at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
      : "=r"(four[0]), "=r"(four[1]), "=r"(four[2]), "=r"(four[3]) : "r"(at));
}
__device__ __forceinline__ void fetch(u16* to, const u16* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(place(to)), "l"(from), "r"(there ? 16 : 0));
}
__device__ __forceinline__ void fetched() {
  asm volatile("cp.async.commit_group;");
  asm volatile("cp.async.wait_group 0;");
}
}
"""

_SOURCE = """
  using namespace causal;
  constexpr int M = 16 * WARPS, LINE = D + PAD, PARTS = D / 8, STEPS = D / 16;
  constexpr bool HELD = D <= 128;
  extern __shared__ __align__(16) unsigned short memory[];
  u16* const own_queries = memory;
  u16* const some_keys = own_queries + M * LINE;
  u16* const some_values = some_keys + N * LINE;

  const int query_count = queries_shape[2], key_count = keys_shape[2], offset = key_count - query_count;
  const int first = (gridDim.x - 1 - blockIdx.x) * M;  // those that see most begin first
  const int head = blockIdx.y, row = blockIdx.z, key_head = head / (gridDim.y / keys_shape[1]);
  const bool ordered = factor[1] != 0.f;  // a query sees no key after its own place
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = lane / 4, member = lane % 4;
  const u16* const q_at = (const u16*)queries + row * queries_strides[0] + head * queries_strides[1];
  const u16* const k_at = (const u16*)keys + row * keys_strides[0] + key_head * keys_strides[1];
  const u16* const v_at = (const u16*)values + row * values_strides[0] + key_head * values_strides[1];

  auto bring = [&](u16* to, const u16* from, const Strides& strides, int begin, int end, int lines) {
    const int step = strides[2], inner = strides[3];
    const bool whole = inner == 1 && step % 8 == 0 && (unsigned long long)from % 16 == 0;
    for (int i = threadIdx.x; i < lines * PARTS; i += 32 * WARPS) {
      const int line = i / PARTS, part = i % PARTS * 8;
      const bool there = begin + line < end;
      const u16* at = from + (long long)(there ? begin + line : 0) * step + part * inner;
      if (whole) fetch(to + line * LINE + part, at, there);
      else for (int j = 0; j < 8; j++) to[line * LINE + part + j] = there ? at[j * inner] : (u16)0;
    }
  };

  const int seen = ordered ? min(key_count, first + M + offset) : key_count;
  const int tiles = (seen + N - 1) / N;
  const float share = factor[0] * 1.44269504f;
  float sums[D / 8][4] = {}, top[2] = {-1e30f, -1e30f}, total[2] = {};
  u32 q[HELD ? STEPS : 1][4];
  const u32 q_line = place(own_queries + (warp * 16 + lane % 16) * LINE + lane / 16 * 8);
  const u32 k_line = place(some_keys + (lane / 16 * 8 + lane % 8) * LINE + lane / 8 % 2 * 8);
  const u32 v_line = place(some_values + lane % 16 * LINE + lane / 16 * 8);

  bring(own_queries, q_at, queries_strides, first, query_count, M);
  bring(some_keys, k_at, keys_strides, 0, key_count, N);
  for (int tile = 0; tile < tiles; tile++) {
    fetched();
    __syncthreads();
    bring(some_values, v_at, values_strides, tile * N, key_count, N);
    if (HELD && tile == 0)
      #pragma unroll
      for (int k = 0; k < STEPS; k++) load(q[HELD ? k : 0], q_line + k * 32);

    float scores[N / 8][4] = {};
    #pragma unroll
    for (int k = 0; k < STEPS; k++) {
      if (!HELD) load(q[0], q_line + k * 32);
      #pragma unroll
      for (int n = 0; n < N / 16; n++) {
        u32 b[4];
        load(b, k_line + n * 32 * LINE + k * 32);
        multiply<BF>(scores[2 * n], q[HELD ? k : 0], b[0], b[1]);
        multiply<BF>(scores[2 * n + 1], q[HELD ? k : 0], b[2], b[3]);
      }
    }
    fetched();
    __syncthreads();
    if (tile + 1 < tiles) bring(some_keys, k_at, keys_strides, (tile + 1) * N, key_count, N);

    if (tile * N + N > (ordered ? min(key_count, first + warp * 16 + offset + 1) : key_count))
      #pragma unroll
      for (int n = 0; n < N / 8; n++)
        #pragma unroll
        for (int i = 0; i < 4; i++) {
          const int key = tile * N + 2 * member + 8 * n + i % 2, query = first + warp * 16 + group + i / 2 * 8;
          if (key >= key_count || (ordered && key > query + offset)) scores[n][i] = -INFINITY;
        }
    #pragma unroll
    for (int half = 0; half < 2; half++) {
      float highest = top[half];
      #pragma unroll
      for (int n = 0; n < N / 8; n++) highest = max(highest, max(scores[n][2 * half], scores[n][2 * half + 1]));
      highest = max(highest, __shfl_xor_sync(0xffffffffu, highest, 1));
      highest = max(highest, __shfl_xor_sync(0xffffffffu, highest, 2));
      const float kept = exp2f((top[half] - highest) * share), least = highest * share;
      top[half] = highest;
      float added = 0.f;
      #pragma unroll
      for (int n = 0; n < N / 8; n++)
        #pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; i++) {
          scores[n][i] = exp2f(scores[n][i] * share - least);
          added += scores[n][i];
        }
      total[half] = total[half] * kept + added;
      #pragma unroll
      for (int d = 0; d < D / 8; d++) {
        sums[d][2 * half] *= kept;
        sums[d][2 * half + 1] *= kept;
      }
    }
    #pragma unroll
    for (int n = 0; n < N / 16; n++) {
      u32 p[4];
      #pragma unroll
      for (int i = 0; i < 4; i++)
        p[i] = pair<BF>(scores[2 * n + i / 2][i % 2 * 2], scores[2 * n + i / 2][i % 2 * 2 + 1]);
      #pragma unroll
      for (int d = 0; d < STEPS; d++) {
        u32 b[4];
        load_turned(b, v_line + n * 32 * LINE + d * 32);
        multiply<BF>(sums[2 * d], p, b[0], b[1]);
        multiply<BF>(sums[2 * d + 1], p, b[2], b[3]);
      }
    }
  }
  #pragma unroll
  for (int half = 0; half < 2; half++) {
    float all = total[half];
    all += __shfl_xor_sync(0xffffffffu, all, 1);
    all += __shfl_xor_sync(0xffffffffu, all, 2);
    const int query = first + warp * 16 + group + 8 * half;
    if (query >= query_count) continue;
    u32* const at = (u32*)((u16*)attended + (((long long)row * query_count + query) * gridDim.y + head) * D);
    #pragma unroll
    for (int d = 0; d < D / 8; d++) at[d * 4 + member] = pair<BF>(sums[d][2 * half] / all, sums[d][2 * half + 1] / all);
  }
"""


class CausalAttention:
    """Attention of two queries or more, where each sees the keys up to its own place, or all of them: q (rows, heads,
    queries, width), k and v (rows, key heads, keys, width)."""

    def __init__(self, plain: Attention) -> None:
        self._plain = plain
        self._factors: dict[tuple[float, bool], mx.array] = {}
        self._right: dict[tuple[int, mx.Dtype], bool] = {}

    def fits(self, q: mx.array, k: mx.array, v: mx.array, mask: Any) -> bool:
        """Whether the kernel knows these, and has shown once in this process that it gives what MLX does."""
        width = q.shape[-1]
        alike = q.dtype == k.dtype == v.dtype and q.dtype in KINDS and width == k.shape[-1] == v.shape[-1]
        plain = mask is None or (isinstance(mask, str) and mask == "causal" and q.shape[2] <= k.shape[2])
        return alike and plain and width in WIDTHS and q.shape[2] > 1 and k.shape[2] > 0 and self._tried(width, q.dtype)

    def __call__(self, q: mx.array, k: mx.array, v: mx.array, scale: float, *, causal: bool) -> mx.array:
        """What `mx.fast.scaled_dot_product_attention` gives, (rows, heads, queries, width)."""
        rows, heads, queries, width = q.shape
        keys, block = (64 if width <= _WIDE else 32), 16 * _WARPS
        if (scale, causal) not in self._factors:
            self._factors[scale, causal] = mx.array([scale, float(causal)], dtype=mx.float32)
        attended: mx.array = _kernel(2 * (block + 2 * keys) * (width + _PAD))(
            inputs=[q, k, v, self._factors[scale, causal]],
            template=[
                ("D", width),
                ("N", keys),
                ("WARPS", _WARPS),
                ("PAD", _PAD),
                ("BF", q.dtype == mx.bfloat16),
            ],
            grid=(-(-queries // block) * 32 * _WARPS, heads, rows),
            threadgroup=(32 * _WARPS, 1, 1),
            output_shapes=[(rows, queries, heads, width)],
            output_dtypes=[q.dtype],
        )[0]
        return attended.transpose(0, 2, 1, 3)

    def _tried(self, width: int, dtype: mx.Dtype) -> bool:
        key = (width, dtype)
        if key not in self._right:
            self._right[key] = False  # where this raises
            self._right[key] = self._works(width, dtype)
        return self._right[key]

    def _works(self, width: int, dtype: mx.Dtype) -> bool:
        """Beside MLX's own in float32."""
        q, k, v = (mx.random.normal((1, 2, 9, width), key=mx.random.key(seed)).astype(dtype) for seed in range(3))
        try:
            ours = self(q, k, v, width**-0.5, causal=True).astype(mx.float32)
            wide = (part.astype(mx.float32) for part in (q, k, v))
            theirs = self._plain(*wide, scale=width**-0.5, mask="causal")
            if bool(mx.abs(ours - theirs).max() <= _CLOSE * mx.abs(theirs).max()):
                return True
            problem = "it does not give what MLX does"
        except RuntimeError as error:
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        sys.stderr.write(f"use own attention of prompts: {problem}\n")
        sys.stderr.flush()
        return False


@cache
def _kernel(shared_memory: int) -> Any:
    return mx.fast.cuda_kernel(
        name=f"causal_{shared_memory}",
        input_names=["queries", "keys", "values", "factor"],
        output_names=["attended"],
        source=_SOURCE,
        header=_HEADER,
        ensure_row_contiguous=False,
        shared_memory=shared_memory,
    )
