"""The kernel of `causal` in CUDA C++: for NVIDIA's run-time compiler alone, and for MLX, which adds its headers."""

from __future__ import annotations

HEADER = """
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

_BODY = """
  using namespace causal;
  constexpr int M = 16 * WARPS, LINE = D + PAD, PARTS = D / 8, STEPS = D / 16;
  constexpr bool HELD = D <= 128;
  extern __shared__ __align__(16) unsigned short memory[];
  u16* const own_queries = memory;
  u16* const some_keys = own_queries + M * LINE;
  u16* const some_values = some_keys + N * LINE;

  const int begun = (int)factor[2];  // keys that all rows have in common, whole tiles: the first ones
  const int query_count = queries_shape[2], own_count = keys_shape[2], key_count = begun + own_count;
  const int offset = key_count - query_count;
  const int first = (gridDim.x - 1 - blockIdx.x) * M;  // those that see most begin first
  const int head = blockIdx.y, row = blockIdx.z, key_head = head / (gridDim.y / keys_shape[1]);
  const bool ordered = factor[1] != 0.f;  // a query sees no key after its own place
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = lane / 4, member = lane % 4;
  const u16* const q_at = (const u16*)queries + row * queries_strides[0] + head * queries_strides[1];
  auto bring = [&](u16* to, const u16* from, int step, int inner, int begin, int end, int lines) {
    const bool whole = inner == 1 && step % 8 == 0 && (unsigned long long)from % 16 == 0;
    for (int i = threadIdx.x; i < lines * PARTS; i += 32 * WARPS) {
      const int line = i / PARTS, part = i % PARTS * 8;
      const bool there = begin + line < end;
      const u16* at = from + (long long)(there ? begin + line : 0) * step + part * inner;
      if (whole) fetch(to + line * LINE + part, at, there);
      else for (int j = 0; j < 8; j++) to[line * LINE + part + j] = there ? at[j * inner] : (u16)0;
    }
  };
  auto bring_tile = [&](u16* to, const void* common, const Strides& common_strides, const void* own,
                        const Strides& own_strides, int begin) {
    const bool before = begin < begun;
    const u16* const from = before ? (const u16*)common + key_head * common_strides[1]
                                   : (const u16*)own + row * own_strides[0] + key_head * own_strides[1];
    const int step = before ? common_strides[2] : own_strides[2];
    const int inner = before ? common_strides[3] : own_strides[3];
    bring(to, from, step, inner, before ? begin : begin - begun, before ? begun : own_count, N);
  };
  auto bring_keys = [&](int begin) {
    bring_tile(some_keys, first_keys, first_keys_strides, keys, keys_strides, begin);
  };
  auto bring_values = [&](int begin) {
    bring_tile(some_values, first_values, first_values_strides, values, values_strides, begin);
  };

  const int seen = ordered ? min(key_count, first + M + offset) : key_count;
  const int tiles = (seen + N - 1) / N;
  const float share = factor[0] * 1.44269504f;
  float sums[D / 8][4] = {}, top[2] = {-1e30f, -1e30f}, total[2] = {};
  u32 q[HELD ? STEPS : 1][4];
  const u32 q_line = place(own_queries + (warp * 16 + lane % 16) * LINE + lane / 16 * 8);
  const u32 k_line = place(some_keys + (lane / 16 * 8 + lane % 8) * LINE + lane / 8 % 2 * 8);
  const u32 v_line = place(some_values + lane % 16 * LINE + lane / 16 * 8);

  bring(own_queries, q_at, queries_strides[2], queries_strides[3], first, query_count, M);
  bring_keys(0);
  for (int tile = 0; tile < tiles; tile++) {
    fetched();
    __syncthreads();
    bring_values(tile * N);
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
    if (tile + 1 < tiles) bring_keys((tile + 1) * N);

    if (tile * N + N > (ordered ? min(key_count, first + warp * 16 + offset + 1) : key_count))
      #pragma unroll
      for (int n = 0; n < N / 8; n++)
        #pragma unroll
        for (int i = 0; i < 4; i++) {
          const int key = tile * N + 2 * member + 8 * n + i % 2, query = first + warp * 16 + group + i / 2 * 8;
          if (key >= key_count || (ordered && key > query + offset)) scores[n][i] = -__int_as_float(0x7f800000);
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

_BLOCKS = 3
"""That a multiprocessor has room for, which has 65,536 registers."""
_NARROW, _NARROW_BLOCKS = 64, 4
"""Heads of so many numbers need fewer."""

_ALONE = """
struct Shape { int values[10]; __device__ int operator[](int place) const { return values[place]; } };
struct Strides { long long values[10]; __device__ long long operator[](int place) const { return values[place]; } };
"""


def causal_body(width: int, keys: int, warps: int, pad: int, *, bfloat16: bool) -> str:
    """What stands between the braces of the function: of heads so wide, with so many keys a tile and warps a block,
    `pad` numbers after each line in shared memory, bfloat16 or float16."""
    constants = {"int D": width, "int N": keys, "int WARPS": warps, "int PAD": pad, "bool BF": str(bfloat16).lower()}
    lines = (f"  constexpr {name} = {value};\n" for name, value in constants.items())
    return "".join(lines) + _BODY


def causal_source(parameters: str, width: int, keys: int, warps: int, pad: int, *, bfloat16: bool) -> str:
    """The whole of it, as `Cubins` takes it. `parameters`: those of the function."""
    body = causal_body(width, keys, warps, pad, bfloat16=bfloat16)
    bounds = f"__launch_bounds__({32 * warps}, {_NARROW_BLOCKS if width <= _NARROW else _BLOCKS})"
    return f'{_ALONE}{HEADER}\nextern "C" __global__ void {bounds} KERNEL({parameters}) {{\n{body}}}\n'
