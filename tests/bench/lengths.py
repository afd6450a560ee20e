"""What rows of different lengths cost a batch: a decode step, and others that join and leave, with the memory for it.

usage: lengths.py [--shape tiny] [--lengths 16384,16384,16384,16384] [--joining 200,16384] [--steps 12] [--pages]

The model is Qwen3's shape with random weights, the caches hold random numbers; in this process, medians. `join`: a row
of so many tokens joins, and the step with it, beyond the time of a step without; `leave` likewise. `peak`: memory
beyond what there was before it. `--pages`: rows have pages of their own, as on NVIDIA GPUs; else one set of buffers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import mlx.core as mx
from make_model import SHAPES
from mlx_lm.models import qwen3
from mlx_lm.models.cache import KVCache, make_prompt_cache

from mlx_serve.daemon.engine.cache import attention
from mlx_serve.daemon.engine.model.compiled_layers import compile_layers
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.shapes import Shapes

DEAR = 10**15  # a forward pass that costs so much is never done twice


def network(shape: str, dtype: mx.Dtype) -> Any:
    mx.random.seed(7)
    config = SHAPES[shape] | {
        "model_type": "qwen3",
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 40960,
        "rope_theta": 1000000,
        "tie_word_embeddings": True,
    }
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    model.set_dtype(dtype)
    mx.eval(model.parameters())
    compile_layers(model)
    return model


def filled(model: Any, length: int, dtype: mx.Dtype) -> list[KVCache]:
    """Plain caches of so many tokens, as a prefill leaves them."""
    caches = make_prompt_cache(model)
    heads, width = model.args.num_key_value_heads, model.args.head_dim
    for cache in caches:
        cache.keys, cache.values = (mx.random.normal((1, heads, length, width)).astype(dtype) for _ in range(2))
        cache.offset = length
        mx.eval(cache.state)
    return caches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="float32")
    parser.add_argument("--lengths", default="16384,16384,16384,16384")
    parser.add_argument("--joining", default="200,16384")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pages", action="store_true")
    options = parser.parse_args()
    dtype = getattr(mx, options.dtype)
    attention.install()
    model = network(options.shape, dtype)
    shapes = Shapes(few=attention.skips_padding())
    forward: Any = BatchedForward(model, DEAR, ragged=attention.installed(), shapes=shapes, paged=options.pages)

    def step() -> float:
        began = time.perf_counter()
        mx.eval(forward(Inputs(mx.zeros((len(forward._keys), 1), dtype=mx.int32))))
        return 1e3 * (time.perf_counter() - began)

    for length in map(int, options.lengths.split(",")):
        forward.join(filled(model, length, dtype), [(0, length)])
    steps = [step() for _ in range(options.steps)]
    plain = statistics.median(steps)
    print(f"step {plain:.2f} ms (best {min(steps):.2f}), {forward.nbytes / 1e6:.0f} MB of caches", flush=True)
    for length in map(int, options.joining.split(",")):
        for _ in range(options.rounds):
            caches = filled(model, length, dtype)
            told = []
            for kind in ("join", "leave"):
                mx.synchronize()
                held = mx.get_active_memory()
                mx.reset_peak_memory()
                began = time.perf_counter()
                if kind == "join":
                    forward.join(caches, [(0, length)])
                else:
                    forward.leave([len(forward._keys) - 1])
                step()
                took = 1e3 * (time.perf_counter() - began)
                peak = (mx.get_peak_memory() - held) / 1e6
                told.append(f"{kind} {took - plain:.1f} ms, peak {peak:.0f} MB, then a step {step():.2f}")
            print(f"{length} tokens: " + "; ".join(told), flush=True)


if __name__ == "__main__":
    main()
