"""Attention of one new token a row over caches of different lengths, without a mask, on NVIDIA GPUs.

MLX's CUDA backend has no fused attention with an array mask: a masked step takes six operations a layer, not one. This
kernel reads each row's own number of columns. Everything else (Metal, whose fused kernel takes masks, the CPU, head
widths that the kernel does not know) goes on with the mask that `Ragged` makes. The arithmetic is online softmax in
float32 (Milakov and Gimelshein 2018; FlashAttention's decode form).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx

THREADS = 256
WIDTHS = (64, 96, 128, 192, 256)
FEW_BLOCKS = 64
LONG_COLUMNS = 4096

_SOURCE = """
  constexpr int LANES = 8;
  constexpr int PER = D / LANES;
  constexpr int WARPS = 8;
  constexpr int AT_ONCE = WARPS * 4;
  constexpr int WORDS = PER * sizeof(T) / 8;
  __shared__ float shared_out[WARPS][Q][D];
  __shared__ float shared_top[WARPS][Q];
  __shared__ float shared_sum[WARPS][Q];

  const int row = blockIdx.z;
  const int kv_head = blockIdx.y / (G / Q);
  const int head = kv_head * G + (blockIdx.y % (G / Q)) * Q;
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int team = lane / LANES;
  const int member = lane % LANES;
  const unsigned team_mask = 0xffu << (team * LANES);
  const int count = counts[row];

  float q[Q][PER], out_part[Q][PER], top[Q], sum[Q];
  const T* q_at = queries + row * queries_strides[0] + head * queries_strides[1] + member * PER;
  for (int g = 0; g < Q; g++) {
    top[g] = -1e30f;
    sum[g] = 0.f;
    for (int j = 0; j < PER; j++) {
      q[g][j] = factor[0] * 1.44269504f * static_cast<float>(q_at[g * queries_strides[1] + j]);
      out_part[g][j] = 0.f;
    }
  }
  const T* k_at = keys + row * keys_strides[0] + kv_head * keys_strides[1] + member * PER;
  const T* v_at = values + row * values_strides[0] + kv_head * values_strides[1] + member * PER;

  union Chunk { uint2 words[WORDS]; T items[PER]; __device__ Chunk() {} };
  for (int i = warp * 4 + team; i < count; i += AT_ONCE) {
    Chunk k, v;
    const uint2* k_words = reinterpret_cast<const uint2*>(k_at + i * keys_strides[2]);
    const uint2* v_words = reinterpret_cast<const uint2*>(v_at + i * values_strides[2]);
    #pragma unroll
    for (int w = 0; w < WORDS; w++) { k.words[w] = k_words[w]; v.words[w] = v_words[w]; }
    #pragma unroll
    for (int g = 0; g < Q; g++) {
      float score = 0.f;
      #pragma unroll
      for (int j = 0; j < PER; j++) score += q[g][j] * static_cast<float>(k.items[j]);
      score += __shfl_xor_sync(team_mask, score, 1);
      score += __shfl_xor_sync(team_mask, score, 2);
      score += __shfl_xor_sync(team_mask, score, 4);
      const float new_top = max(top[g], score);
      const float old_share = exp2f(top[g] - new_top);
      const float share = exp2f(score - new_top);
      top[g] = new_top;
      sum[g] = sum[g] * old_share + share;
      #pragma unroll
      for (int j = 0; j < PER; j++)
        out_part[g][j] = out_part[g][j] * old_share + share * static_cast<float>(v.items[j]);
    }
  }
  __syncwarp();
  for (int g = 0; g < Q; g++) {
    for (int step = LANES; step < 32; step *= 2) {
      const float other_top = __shfl_xor_sync(0xffffffffu, top[g], step);
      const float other_sum = __shfl_xor_sync(0xffffffffu, sum[g], step);
      const float new_top = max(top[g], other_top);
      const float mine = exp2f(top[g] - new_top), theirs = exp2f(other_top - new_top);
      sum[g] = sum[g] * mine + other_sum * theirs;
      for (int j = 0; j < PER; j++) {
        const float other = __shfl_xor_sync(0xffffffffu, out_part[g][j], step);
        out_part[g][j] = out_part[g][j] * mine + other * theirs;
      }
      top[g] = new_top;
    }
    if (team == 0) {
      for (int j = 0; j < PER; j++) shared_out[warp][g][member * PER + j] = out_part[g][j];
      if (member == 0) { shared_top[warp][g] = top[g]; shared_sum[warp][g] = sum[g]; }
    }
  }
  __syncthreads();
  for (int place = threadIdx.x; place < Q * D; place += WARPS * 32) {
    const int g = place / D, d = place % D;
    float highest = shared_top[0][g];
    for (int w = 1; w < WARPS; w++) highest = max(highest, shared_top[w][g]);
    float total = 0.f, weights = 0.f;
    for (int w = 0; w < WARPS; w++) {
      const float share = exp2f(shared_top[w][g] - highest);
      total += share * shared_out[w][g][d];
      weights += share * shared_sum[w][g];
    }
    attended[((long long)row * (gridDim.y * Q) + head + g) * D + d] = static_cast<T>(total / weights);
  }
"""

Attention = Callable[..., mx.array]


class Ragged:
    """Stands where models expect a mask. Row i sees its first `counts[i]` columns, int32 of shape (rows,); `lengths`
    are the same numbers on the host."""

    def __init__(self, counts: mx.array, lengths: tuple[int, ...], mask: Callable[[], mx.array]) -> None:
        self.counts = counts
        self.lengths = lengths
        self._mask = mask

    def mask(self) -> mx.array:
        """The same as a bool array, (rows, 1, 1, columns), for attention that needs one."""
        return self._mask()


class RaggedAttention:
    """Installed once in a child on CUDA, in place of `mx.fast.scaled_dot_product_attention`."""

    def __init__(self, plain: Attention) -> None:
        self._plain = plain
        self._kernel: Any = mx.fast.cuda_kernel(
            name="ragged_decode",
            input_names=["queries", "keys", "values", "counts", "factor"],
            output_names=["attended"],
            source=_SOURCE,
            ensure_row_contiguous=False,
        )
        self._factors: dict[float, mx.array] = {}

    def __call__(
        self, q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Any = None, **options: Any
    ) -> mx.array:
        if not isinstance(mask, Ragged):
            return self._plain(q, k, v, scale=scale, mask=mask, **options)
        if options.get("sinks") is not None or not self._fits(q, k, v):
            return self._plain(q, k, v, scale=scale, mask=mask.mask(), **options)
        rows, heads, _, width = q.shape
        group = heads // k.shape[1]
        at_once = next(size for size in (4, 3, 2, 1) if group % size == 0 and size * width <= 512)
        attended: mx.array = self._kernel(
            inputs=[q, k, v, mask.counts, self._factor(scale)],
            template=[("T", q.dtype), ("D", width), ("G", group), ("Q", at_once)],
            grid=(THREADS, heads // at_once, rows),
            threadgroup=(THREADS, 1, 1),
            output_shapes=[q.shape],
            output_dtypes=[q.dtype],
        )[0]
        return attended

    @staticmethod
    def _fits(q: mx.array, k: mx.array, v: mx.array) -> bool:
        """Known width, one dtype, and enough blocks to fill the GPU where rows are long."""
        known = q.shape[-1] == k.shape[-1] == v.shape[-1] and q.shape[-1] in WIDTHS
        same = q.dtype == k.dtype == v.dtype and q.dtype in (mx.bfloat16, mx.float16, mx.float32)
        return known and same and (k.shape[2] < LONG_COLUMNS or q.shape[0] * k.shape[1] >= FEW_BLOCKS)

    def _factor(self, scale: float) -> mx.array:
        if scale not in self._factors:
            self._factors[scale] = mx.array([scale], dtype=mx.float32)
        return self._factors[scale]
