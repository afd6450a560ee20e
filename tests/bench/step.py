"""What a decode step costs in process, and what joined products and compiled layers change: ms a step, in turns.

usage: step.py [--shape tiny] [--bits 4] [--dtype float32] [--rows 1,8,32] [--steps 40] [--rounds 3] [--length 200]

The step after the next is launched before a step's tokens are read, as the engine does it. `bare` is mlx-lm's network
with mlx-lm's caches and rows of one length; the others are the engine's rows, whose lengths differ. On a CPU `compiled`
is what is replayed, `fused` what has its kernels, which are compiled here when they are first needed. `build` is what
this process's thread does of it, which is where Python is. Medians of the rounds; the processor's time, of all threads,
is what others on the machine change least.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from make_model import SHAPES
from mlx.utils import tree_flatten
from mlx_lm.models import qwen3
from mlx_lm.models.cache import make_prompt_cache
from openblas import environment

from mlx_serve.daemon.engine.cache import attention
from mlx_serve.daemon.engine.cache.capacity import pass_bytes
from mlx_serve.daemon.engine.cuda.kernels import Kernels
from mlx_serve.daemon.engine.model.compiled_layers import compile_layers, functions, undo
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.model.joined import join

WARM = 4
"""Steps before the clock runs: kernels are compiled, compiled functions traced."""

Step = Callable[[mx.array], mx.array]


def network(shape: str, bits: int, dtype: str) -> Any:
    mx.random.seed(7)
    config = SHAPES[shape] | {
        "model_type": "qwen3",
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 40960,
        "rope_theta": 1000000,
        "tie_word_embeddings": True,
    }
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    model.set_dtype(getattr(mx, dtype))
    if bits:
        nn.quantize(model, 64, bits)
    mx.eval(model.parameters())
    return model


def prefilled(model: Any, rows: int, length: int) -> list[Any]:
    caches = make_prompt_cache(model)
    model(mx.zeros((rows, length), dtype=mx.int32), cache=caches)
    mx.eval([cache.state for cache in caches])
    return caches


def bare(model: Any, rows: int, length: int) -> Step:
    caches = prefilled(model, rows, length)
    return lambda tokens: mx.argmax(model(tokens[:, None], cache=caches)[:, -1], axis=-1)


def engine(model: Any, rows: int, length: int) -> Step:
    weights = sum(array.nbytes for _, array in tree_flatten(model.parameters()))
    ragged = attention.installed() and attention.skips_padding()
    forward: Any = BatchedForward(model, pass_bytes(weights, ragged=ragged), ragged=ragged)
    caches = prefilled(model, 1, length + rows)
    for row in range(rows):
        forward.join(caches, [(0, length + row)])
    return lambda tokens: mx.argmax(forward(Inputs(tokens[:, None])), axis=-1)


def fuse(model: Any, rows: int) -> None:
    """As the engine does while it rests."""
    measure(engine(model, rows, 2), rows, 1)
    for function in functions(model):
        function.attempt(rows)
        function.use_fused()


def measure(step: Step, rows: int, steps: int) -> tuple[float, float, float]:
    """Milliseconds a step, those of them that building its graph took, and the processor's."""
    current = mx.zeros((rows,), dtype=mx.int32)
    for _ in range(WARM):
        current = step(current)
        mx.eval(current)
    built, began, used = 0.0, time.perf_counter(), time.process_time()
    for _ in range(steps):
        at = time.thread_time()
        following = step(current)
        built += time.thread_time() - at
        mx.async_eval(following)  # type: ignore[no-untyped-call]
        current.tolist()
        current = following
    mx.eval(current)
    spent = (time.perf_counter() - began, built, time.process_time() - used)
    return tuple(seconds / steps * 1e3 for seconds in spent)  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--bits", type=int, choices=(0, 4, 8), default=0)
    parser.add_argument("--dtype", default="float32", choices=("bfloat16", "float16", "float32"))
    parser.add_argument("--rows", default="1,8,32")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--length", type=int, default=200)
    options = parser.parse_args()
    if "LD_PRELOAD" not in os.environ and "LD_PRELOAD" in (wanted := environment()):
        os.execve(sys.executable, [sys.executable, *sys.argv], wanted)
    attention.install()
    on_cpu = mx.default_device() == mx.Device(mx.DeviceType.cpu)
    if on_cpu:
        mx.disable_compile()  # as a child does
    plain, joined = (network(options.shape, options.bits, options.dtype) for _ in range(2))
    join(joined)
    on_cuda = not (on_cpu or mx.metal.is_available())
    kernels = Kernels.found() if on_cuda else None
    own = plain
    if kernels is not None:
        own = network(options.shape, options.bits, options.dtype)
        join(own)
        kernels.install(own)
    print(f"{options.shape}, {options.bits or options.dtype}, {mx.default_device()}:")
    print("ms a step (build), to plain, of the processor, to plain")
    for rows in map(int, options.rows.split(",")):
        found: dict[str, list[tuple[float, float, float]]] = {}
        for place in range(options.rounds + 1):
            for name, model, make in (
                ("bare", plain, bare),
                ("plain", plain, engine),
                ("joined", joined, engine),
                ("compiled", plain, engine),
                ("both", joined, engine),
                *[("fused", plain, engine)] * on_cpu,
                *[("kernels", own, engine)] * (kernels is not None),
            ):
                if name in ("compiled", "both", "fused", "kernels"):
                    compile_layers(model)
                if name == "fused":
                    fuse(model, rows)
                times = measure(make(model, rows, options.length), rows, options.steps if place else 2)
                undo(model)
                if place:
                    found.setdefault(name, []).append(times)
        medians = {name: [statistics.median(part) for part in zip(*runs, strict=True)] for name, runs in found.items()}
        first, _, least = medians["plain"]
        for name, (step, build, used) in medians.items():
            ratios = f"{step / first:5.2f}  {used:8.2f}  {used / least:5.2f}"
            print(f"  {rows:3} rows  {name:8}  {step:8.2f}  ({build:.2f})  {ratios}", flush=True)


if __name__ == "__main__":
    main()
