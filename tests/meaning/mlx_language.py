"""A child process that runs the built-in language model with mlx-lm alone, in float32.

A process of its own because importing mlx_lm lowers this process's limit of open files for good.
usage: python -m meaning.mlx_language STARTER OUT, the model's folder and a file for the results
"""

from __future__ import annotations

import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
from meaning.language import columns, conversations


def main() -> None:
    mx.set_default_device(mx.cpu)
    from mlx_lm import load

    folder, out = map(Path, sys.argv[1:])
    model, tokenizer = load(str(folder))[:2]
    model.set_dtype(mx.float32)
    found = {}
    for number, given in enumerate(conversations()):
        ids = tokenizer.apply_chat_template(**given, add_generation_prompt=True)
        logits = np.array(model(mx.array([ids]))[0])
        found[f"ids{number}"] = np.array(ids)
        found[f"logits{number}"] = logits[:, columns(logits.shape[-1])]
        found[f"likeliest{number}"] = logits.argmax(-1)
    np.savez(out, **found)


if __name__ == "__main__":
    main()
