"""Products of few rows on an NVIDIA GPU: our kernels beside MLX's own, how far they are apart and how long they take.

usage: products.py [--shapes 4096x1024,6144x1024] [--rows 2,8,32,64] [--bits 4] [--dtype bfloat16]
Shapes are outputs x inputs. Each is multiplied with so many different weights that none is in a cache of the GPU; `us`
is the time of one, and in brackets the processor's until the GPU has it. Leaves with 1 where one is too far from MLX's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import mlx.core as mx

from mlx_serve.daemon.engine.cuda.cubins import Cubins
from mlx_serve.daemon.engine.cuda.products import Products

SHAPES = "4096x1024,1024x2048,6144x1024,1024x3072,4096x4096,24576x4096,4096x12288"
BYTES = 160_000_000
MOST, FEWEST = 40, 3
RUNS = 4
CLOSE = 0.01

Product = Callable[[mx.array, int], mx.array]


def measure(product: Product, x: mx.array, count: int) -> str:
    """Microseconds of one product, the best of RUNS, and what the processor takes of it."""
    compiled = mx.compile(lambda x: [product(x, place) for place in range(count)])
    mx.eval(compiled(x))
    best = (float("inf"), 0.0)
    for _ in range(RUNS):
        mx.synchronize()
        began = time.perf_counter()
        results = compiled(x)
        mx.async_eval(results)  # type: ignore[no-untyped-call]
        handed = time.perf_counter()
        mx.eval(results)
        best = min(best, (time.perf_counter() - began, handed - began))
    return f"{best[0] / count * 1e6:6.1f} ({best[1] / count * 1e6:4.1f})"


def apart(found: mx.array, expected: mx.array) -> float:
    """As a part of the greatest number."""
    one, other = found.astype(mx.float32), expected.astype(mx.float32)
    return float(mx.abs(one - other).max() / mx.abs(other).max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--rows", default="2,8,32,64")
    parser.add_argument("--bits", type=int, choices=(4, 8), default=4)
    parser.add_argument("--group", type=int, choices=(32, 64, 128), default=64)
    parser.add_argument("--dtype", choices=("bfloat16", "float16"), default="bfloat16")
    options = parser.parse_args()
    if mx.metal.is_available() or mx.default_device() == mx.Device(mx.DeviceType.cpu):
        print("these kernels are for NVIDIA GPUs")
        return 1
    ours, dtype = Products(Cubins()), getattr(mx, options.dtype)
    form = {"group_size": options.group, "bits": options.bits}
    print(f"us: MLX's product, ours, how far apart; {options.bits} bits: MLX's, ours, how far apart")
    worst = 0.0
    for shape in options.shapes.split(","):
        outputs, inputs = map(int, shape.split("x"))
        count = max(FEWEST, min(MOST, BYTES // (2 * outputs * inputs)))
        dense = [(mx.random.normal((outputs, inputs)) * 0.05).astype(dtype) for _ in range(count)]
        packed = [mx.quantize(weight, **form) for weight in dense]
        mx.eval(dense, packed)
        for rows in map(int, options.rows.split(",")):
            x = mx.random.normal((rows, 1, inputs)).astype(dtype)
            mx.eval(x)
            ways: list[Product] = [
                lambda x, place, dense=dense: x @ dense[place].T,  # type: ignore[misc]
                lambda x, place, dense=dense: ours.dense(x, dense[place]),  # type: ignore[misc]
                lambda x, place, packed=packed: mx.quantized_matmul(x, *packed[place], transpose=True, **form),  # type: ignore[misc]
                lambda x, place, packed=packed: ours.quantized(  # type: ignore[misc]
                    x, *packed[place], bits=options.bits, group=options.group
                ),
            ]
            plain, other, quantized, own = (measure(way, x, count) for way in ways)
            exact = x.astype(mx.float32) @ mx.dequantize(*packed[0], **form).astype(mx.float32).T
            far = apart(ways[1](x, 0), ways[0](x, 0)), apart(ways[3](x, 0), exact)
            worst = max(worst, *far)
            print(
                f"{shape:>12} {rows:3} rows {plain} {other} {far[0]:.4f} | {quantized} {own} {far[1]:.4f}", flush=True
            )
    return int(worst > CLOSE)


if __name__ == "__main__":
    sys.exit(main())
