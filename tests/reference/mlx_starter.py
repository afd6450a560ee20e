"""A child process that computes the starter's logits with mlx-lm alone, in float32.

A process of its own because importing mlx_lm lowers this process's limit of open files for good.
usage: python -m reference.mlx_starter RECORDED OUT
"""

from __future__ import annotations

import sys

import mlx.core as mx
import numpy as np
from reference.mlx_logits import cached, whole
from reference.starter_cases import CASES, MODEL, prompt


def main() -> None:
    mx.set_default_device(mx.cpu)
    from mlx_lm import load

    model, tokenizer = load(str(MODEL))[:2]
    model.set_dtype(mx.float32)
    out = {}
    with np.load(sys.argv[1], allow_pickle=False) as recorded:
        for name in CASES:
            ids, answer = prompt(name, tokenizer), recorded[f"{name}.answer"].tolist()
            out[f"{name}.prompt"] = np.array(ids)
            out[f"{name}.whole"] = whole(model, ids, answer[:-1])
            out[f"{name}.cached"] = cached(model, ids, answer[:-1])
    np.savez(sys.argv[2], **out)


if __name__ == "__main__":
    main()
