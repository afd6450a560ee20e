"""A child process that computes logits with mlx-lm alone, for the tests to compare.

A process of its own because importing mlx_lm lowers this process's limit of open files for good.
usage: python -m reference.mlx_logits FOLDER OUT, where FOLDER holds the checkpoints; writes OUT/<architecture>.npz
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray
from reference.checkpoints import NAMES, prompts
from reference.recorded_file import STEPS, read

PREFILL_CHUNK = 16


def whole(model: Any, prompt: list[int], continuation: list[int]) -> NDArray[np.float32]:
    """One pass over prompt and continuation without a cache; rows [STEPS + 1, V]."""
    logits = model(mx.array([prompt + continuation]))[0, len(prompt) - 1 :]
    return np.array(logits.astype(mx.float32))


def cached(model: Any, prompt: list[int], continuation: list[int]) -> NDArray[np.float32]:
    """The prompt in chunks, then one token a step, with the model's own caches; rows [STEPS + 1, V]."""
    from mlx_lm.models.cache import make_prompt_cache

    cache = make_prompt_cache(model)
    rows = []
    for start in range(0, len(prompt), PREFILL_CHUNK):
        last = model(mx.array([prompt[start : start + PREFILL_CHUNK]]), cache=cache)[0, -1]
    rows.append(last)
    for token in continuation:
        rows.append(model(mx.array([[token]]), cache=cache)[0, -1])
        mx.eval(rows[-1])
    return np.array(mx.stack(rows).astype(mx.float32))


def main() -> None:
    mx.set_default_device(mx.cpu)
    import mlx_lm

    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    for name in NAMES:
        model, _ = mlx_lm.load(str(folder / name))[:2]
        pairs = list(zip(prompts(), read(name).continuations.tolist(), strict=True))
        assert all(len(continuation) == STEPS for _, continuation in pairs)
        np.savez(
            out / f"{name}.npz",
            whole=np.stack([whole(model, *pair) for pair in pairs]),
            cached=np.stack([cached(model, *pair) for pair in pairs]),
        )


if __name__ == "__main__":
    main()
