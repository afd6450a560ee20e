"""Steps of a model that meet kernels which are not there, in a process without a compiler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache
from reference.checkpoints import make

from mlx_serve.daemon.engine.cache import attention
from mlx_serve.daemon.engine.kernels.fused import Fused
from mlx_serve.daemon.engine.model.compiled_layers import functions
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.model.load import load
from mlx_serve.daemon.protocol import Load


def steps(network: Any, *, without: int | None = None) -> list[Any]:
    """The tokens of steps of two rows, of lengths that differ. Before step `without` each function
    believes it is fused, and has no kernels."""
    forward = BatchedForward(network, 0)
    for length in (3, 5):
        caches = make_prompt_cache(network)
        network(mx.zeros((1, length), dtype=mx.int32), cache=caches)
        forward.join(caches, [(0, length)])
    tokens, found = mx.array([1, 2]), []
    for number in range(6):
        if number == without:
            for function in functions(network):
                for key in function._graphs:
                    function._fused[key] = Fused(function._function)
        following = mx.argmax(forward(Inputs(tokens[:, None])), axis=-1)
        mx.async_eval(following)  # type: ignore[no-untyped-call]
        found.append(tokens.tolist())
        tokens = following
    return found


def miss_in_steps(folder: Path) -> None:
    """Steps that meet missing kernels give what they gave, and every function is replayed from then on."""
    attention.install()
    path = str(make("llama", folder).folder)
    network = load(Load(path=path, name="llama", kind="llm", max_batch=2, prefill_tokens_per_step=16))[0].network
    expected = steps(network)
    assert len(functions(network)) == 3
    for without in (0, 3):
        assert steps(network, without=without) == expected
        assert not any(function.fused for function in functions(network))
