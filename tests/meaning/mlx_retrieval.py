"""A child process that runs the built-in retrieval models with mlx-lm alone, in float32.

A process of its own because importing mlx_lm lowers this process's limit of open files for good.
usage: python -m meaning.mlx_retrieval EMBED RERANK OUT, the models' folders and a file for the results
"""

from __future__ import annotations

import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
from meaning.retrieval import messages, pairs, texts


def main() -> None:
    mx.set_default_device(mx.cpu)
    from mlx_lm import load

    embed, rerank, out = map(Path, sys.argv[1:])
    model, tokenizer = load(str(embed))[:2]
    model.set_dtype(mx.float32)
    states = [np.array(model.model(mx.array([tokenizer.encode(text)]))[0, -1]) for text in texts()]
    model, tokenizer = load(str(rerank))[:2]
    model.set_dtype(mx.float32)
    logits = []
    for pair in pairs():
        ids = tokenizer.apply_chat_template(
            messages(*pair), add_generation_prompt=True, enable_thinking=False, tokenize=True
        )
        logits.append(np.array(model(mx.array([ids]))[0, -1]))
    yes, no = (tokenizer.encode(word, add_special_tokens=False) for word in ("yes", "no"))
    np.savez(out, states=np.stack(states), logits=np.stack(logits), yes=yes, no=no)


if __name__ == "__main__":
    main()
