"""Records what Transformers computes for the shipped starter.

Run from tests/, in an environment with torch and transformers: `python -m reference.record_starter`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from reference.recorded_file import FOLDER
from reference.starter_cases import CASES, MODEL, prompt

STEPS = 48
ROWS = 6


def record() -> dict[str, NDArray[Any]]:
    """For each case prompt and greedy answer, and the whole rows of its first steps; each step a full pass."""
    model: Any = transformers.Qwen3ForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(MODEL)
    found: dict[str, NDArray[Any]] = {}
    for name in CASES:
        ids, said, rows = prompt(name, tokenizer), [], []
        while len(said) < STEPS and said[-1:] != [tokenizer.eos_token_id]:
            with torch.inference_mode():
                logits = model(torch.tensor([ids + said]), use_cache=False).logits[0, -1]
            rows.append(logits.numpy())
            said.append(int(logits.argmax()))
        found[f"{name}.prompt"] = np.array(ids, np.int16)
        found[f"{name}.answer"] = np.array(said, np.int16)
        found[f"{name}.logits"] = np.stack(rows[:ROWS])
    facts = {
        "sha256": hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    return {**found, "facts": np.array(json.dumps(facts))}


if __name__ == "__main__":
    np.savez_compressed(FOLDER / "starter.npz", **record())
