"""The kernels of `row_attention` in CUDA C++, which NVIDIA's run-time compiler takes without a header."""

from __future__ import annotations

from typing import Literal

Kind = Literal["bf16", "f16", "f32"]

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
