"""What a decode step costs when rows have different lengths: milliseconds and bytes of caches.

usage: lengths.py [--shape tiny] [--lengths 16384,200,200,200,200,200,200,200] [--steps 12]

The model is Qwen3's shape with random weights in float32, the caches hold random numbers. The best step counts.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import mlx.core as mx
from make_model import SHAPES
from mlx.utils import tree_flatten
from mlx_lm.models import qwen3
from mlx_lm.models.cache import KVCache, make_prompt_cache

from mlx_serve.daemon.engine.cache.capacity import pass_bytes
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.inputs import Inputs


def network(shape: str) -> Any:
    mx.random.seed(7)
    config = SHAPES[shape] | {
        "model_type": "qwen3",
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 40960,
        "rope_theta": 1000000,
        "tie_word_embeddings": True,
    }
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    mx.eval(model.parameters())
    return model


def filled(model: Any, length: int) -> list[KVCache]:
    """Plain caches of so many tokens, as a prefill leaves them."""
    caches = make_prompt_cache(model)
    heads, width = model.args.num_key_value_heads, model.args.head_dim
    for cache in caches:
        cache.keys, cache.values = (mx.random.normal((1, heads, length, width)) for _ in range(2))
        cache.offset = length
    return caches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--lengths", default="16384,200,200,200,200,200,200,200")
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    lengths = [int(length) for length in options.lengths.split(",")]
    model = network(options.shape)
    weights = sum(array.nbytes for _, array in tree_flatten(model.parameters()))
    forward: Any = BatchedForward(model, pass_bytes(weights, ragged=False))
    for length in lengths:
        forward.join(filled(model, length), 0, length)
    times = []
    for _ in range(options.steps):
        began = time.perf_counter()
        mx.eval(forward(Inputs(mx.zeros((len(lengths), 1), dtype=mx.int32))))
        times.append(time.perf_counter() - began)
    times.sort()
    print(
        f"{min(times) * 1e3:.1f} ms a step (median {times[len(times) // 2] * 1e3:.1f}), "
        f"{forward.nbytes / 1e6:.1f} MB of caches"
    )


if __name__ == "__main__":
    main()
