"""The CUDA code of products with few rows: a batch of up to 64 rows by a weight matrix.

A block computes 16 or more outputs for all rows: its warps share the inputs among them, multiply on the tensor
cores (mma.m16n8k16, 16 outputs by 8 rows by 16 inputs, float32 sums; PTX ISA, "Matrix fragments for mma.m16n8k16"), and
add up in shared memory. Which of the inputs stands where in a fragment does not matter to a sum, as long as both sides
agree: so each thread reads 16 bytes in a row of the weights and of `x`, and nothing is shuffled.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["bf16", "f16"]

WARPS = 4
THREADS = 32 * WARPS
ROWS_AT_ONCE = 8
OUTPUTS_AT_ONCE = 16
UNROLL = 2

_HEADER = """
typedef unsigned int u32;
typedef unsigned short u16;
struct __align__(16) Four { u32 x, y, z, w; };

__device__ __forceinline__ Four load_once(const void* at) {
  Four found;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(found.x), "=r"(found.y), "=r"(found.z), "=r"(found.w) : "l"(at));
  return found;
}
__device__ __forceinline__ Four load(const u16* at) { return *(const Four*)at; }
__device__ __forceinline__ u16 rounded(float value) {
  u16 result;
  asm("cvt.rn.KIND.f32 %0, %1;" : "=h"(result) : "f"(value));
  return result;
}
__device__ __forceinline__ u32 pair(float low, float high) {
  u32 result;
  asm("cvt.rn.KINDx2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
}
__device__ __forceinline__ u32 fused(u32 a, u32 b, u32 c) {
  u32 result;
  asm("fma.rn.KINDx2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  return result;
}
__device__ __forceinline__ float widened(u16 value) {
  WIDEN
}
__device__ __forceinline__ void multiply(float (&sums)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.KIND.KIND.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
"""

_WIDEN: dict[Kind, str] = {
    "bf16": "return __uint_as_float((u32)value << 16);",
    "f16": 'float result; asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value)); return result;',
}

_BEGIN = """
extern "C" __global__ void __launch_bounds__(THREADS) KERNEL(PARAMETERS, u16* out, int rows, int outputs, int inputs) {
  __shared__ float parts[WARPS][16][8 * T + 1];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int group = lane / 4, member = lane % 4;
  const int first = blockIdx.x * (16 * A);
  const Four nothing = {0, 0, 0, 0};
  float sums[A][T][4] = {};
  int own[A][2];
  for (int a = 0; a < A; a++)
    for (int half = 0; half < 2; half++) own[a][half] = min(first + a * 16 + half * 8 + group, outputs - 1);
"""

_END = """
  for (int a = 0; a < A; a++) {
    if (a) __syncthreads();
    for (int tile = 0; tile < T; tile++)
      for (int i = 0; i < 4; i++)
        parts[warp][group + 8 * (i / 2)][tile * 8 + 2 * member + i % 2] = sums[a][tile][i];
    __syncthreads();
    for (int place = threadIdx.x; place < 16 * 8 * T; place += THREADS) {
      const int output = place % 16, row = place / 16;
      float total = 0.f;
      for (int w = 0; w < WARPS; w++) total += parts[w][output][row];
      if (row < rows && first + a * 16 + output < outputs)
        out[(long long)row * outputs + first + a * 16 + output] = rounded(total);
    }
  }
}
"""

_DENSE = """
  for (int at = warp * 64; at < inputs; at += WARPS * 64) {
    Four weights[2][A][2];
    #pragma unroll
    for (int j = 0; j < 2; j++)
      #pragma unroll
      for (int a = 0; a < A; a++)
        #pragma unroll
        for (int half = 0; half < 2; half++) {
          const int k = at + 32 * j + 8 * member;
          weights[j][a][half] = k < inputs ? load_once(w + (long long)own[a][half] * inputs + k) : nothing;
        }
    #pragma unroll
    for (int j = 0; j < 2; j++) {
      const int k = at + 32 * j + 8 * member;
      Four b[T];
      #pragma unroll
      for (int tile = 0; tile < T; tile++)
        b[tile] = tile * 8 + group < rows && k < inputs ? load(x + (tile * 8 + group) * inputs + k) : nothing;
      #pragma unroll
      for (int tile = 0; tile < T; tile++)
        #pragma unroll
        for (int a = 0; a < A; a++) {
          const Four one = weights[j][a][0], other = weights[j][a][1];
          multiply(sums[a][tile], one.x, other.x, one.y, other.y, b[tile].x, b[tile].y);
          multiply(sums[a][tile], one.z, other.z, one.w, other.w, b[tile].z, b[tile].w);
        }
    }
  }
"""

_QUANTIZED = """
  constexpr int PER = 128 / BITS, STEP = WARPS * 4 * PER;
  const int words = inputs / 32 * BITS, groups = inputs / GROUP;
  Four packed[A][2];
  u16 scale[A][2], bias[A][2];
  auto fetch = [&](int k) {
    #pragma unroll
    for (int a = 0; a < A; a++)
      #pragma unroll
      for (int half = 0; half < 2; half++) {
        packed[a][half] = nothing;
        scale[a][half] = bias[a][half] = 0;
        if (k < inputs) {
          const long long row = own[a][half];
          packed[a][half] = load_once(w + row * words + k / 32 * BITS + k % 32 * BITS / 32);
          scale[a][half] = scales[row * groups + k / GROUP];
          bias[a][half] = biases[row * groups + k / GROUP];
        }
      }
  };
  int k = (warp * 4 + member) * PER;
  fetch(k);
  for (int at = warp * 4 * PER; at < inputs; at += STEP, k += STEP) {
    Four held[A][2];
    u16 own_scale[A][2], own_bias[A][2];
    #pragma unroll
    for (int a = 0; a < A; a++)
      #pragma unroll
      for (int half = 0; half < 2; half++) {
        held[a][half] = packed[a][half];
        own_scale[a][half] = scale[a][half];
        own_bias[a][half] = bias[a][half];
      }
    fetch(k + STEP);
    #pragma unroll UNROLL
    for (int i = 0; i < 128 / BITS / 8; i++) {
      Four b[T];
      #pragma unroll
      for (int tile = 0; tile < T; tile++)
        b[tile] = tile * 8 + group < rows && k < inputs ? load(x + (tile * 8 + group) * inputs + k + 8 * i) : nothing;
      #pragma unroll
      for (int a = 0; a < A; a++) {
        u32 one[4], other[4];
        unpack(held[a][0], own_scale[a][0], own_bias[a][0], one);
        unpack(held[a][1], own_scale[a][1], own_bias[a][1], other);
        #pragma unroll
        for (int tile = 0; tile < T; tile++) {
          multiply(sums[a][tile], one[0], other[0], one[1], other[1], b[tile].x, b[tile].y);
          multiply(sums[a][tile], one[2], other[2], one[3], other[3], b[tile].z, b[tile].w);
        }
      }
    }
  }
"""

# Eight numbers from the first words, as four pairs; the words that follow move up.
_UNPACK: dict[int, str] = {
    4: """
__device__ __forceinline__ void unpack(Four& packed, u16 scale, u16 bias, u32* values) {
  const u32 scales = scale | (u32)scale << 16, biases = bias | (u32)bias << 16;
  #pragma unroll
  for (int i = 0; i < 4; i++) {
    const u32 two = packed.x >> (8 * i);
    const u32 raised = (two & 0xfu) | (two << 12 & 0xf0000u) | RAISE;
    values[i] = fused(fused(raised, ONE, LOWER), scales, biases);
  }
  packed = {packed.y, packed.z, packed.w, packed.w};
}
""",
    8: """
__device__ __forceinline__ void unpack(Four& packed, u16 scale, u16 bias, u32* values) {
  const float scales = widened(scale), biases = widened(bias);
  #pragma unroll
  for (int i = 0; i < 4; i++) {
    const u32 two = (i < 2 ? packed.x : packed.y) >> (16 * (i % 2));
    values[i] = pair(fmaf((float)(two & 255u), scales, biases), fmaf((float)(two >> 8 & 255u), scales, biases));
  }
  packed = {packed.z, packed.w, packed.w, packed.w};
}
""",
}
# A number of few bits in the low bits of a constant's mantissa, and what to add to have it alone: exact.
_CONSTANTS: dict[Kind, dict[str, str]] = {
    "bf16": {"RAISE": "0x43004300u", "ONE": "0x3f803f80u", "LOWER": "0xc300c300u"},
    "f16": {"RAISE": "0x64006400u", "ONE": "0x3c003c00u", "LOWER": "0xe400e400u"},
}


def dense(kind: Kind, row_tiles: int, output_tiles: int) -> str:
    """x (rows, inputs), w (outputs, inputs) and out (rows, outputs) of `kind`, in that order; then the numbers of rows,
    outputs and inputs, int32. `inputs` a multiple of 8; a block computes `output_tiles` times 16 outputs."""
    return _source(kind, row_tiles, output_tiles, "const u16* x, const u16* w", _DENSE)


def quantized(kind: Kind, row_tiles: int, output_tiles: int, bits: int, group: int) -> str:
    """As `dense`, with w as MLX's affine quantization packs it, of 4 or 8 bits, and its scales and biases (outputs,
    inputs / group) of `kind` after it. `inputs` a multiple of 32, and of `group`."""
    parameters = "const u16* x, const u32* w, const u16* scales, const u16* biases"
    source = _source(kind, row_tiles, output_tiles, parameters, _QUANTIZED, _UNPACK[bits])
    return f"#define BITS {bits}\n#define GROUP {group}\n{source}"


def _source(kind: Kind, rows: int, outputs: int, parameters: str, loop: str, more: str = "") -> str:
    defined = {
        "A": outputs,
        "T": rows,
        "WARPS": WARPS,
        "THREADS": THREADS,
        "UNROLL": UNROLL,
        "PARAMETERS": parameters,
    }
    lines = [f"#define {key} {value}" for key, value in {**defined, **_CONSTANTS[kind]}.items()]
    header = _HEADER.replace("KIND", kind).replace("WIDEN", _WIDEN[kind])
    return "\n".join([*lines, header, more, _BEGIN, loop, _END])
