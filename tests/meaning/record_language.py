"""Records what Transformers computes with the built-in language model, in float32.

Run from tests/, in an environment with torch and transformers: python -m meaning.record_language
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import transformers
from meaning.language import columns, conversations

STARTER = Path(__file__).parents[2] / "store" / "builtins" / "starter"
RECORDED = Path(__file__).parent / "recorded" / "language.npz"


@torch.inference_mode()
def main() -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(STARTER)
    kept = columns(model.config.vocab_size)
    found: dict[str, np.ndarray] = {}
    for number, given in enumerate(conversations()):
        text = tokenizer.apply_chat_template(**given, add_generation_prompt=True, tokenize=False)
        ids = tokenizer.encode(text, add_special_tokens=False)
        logits = model(torch.tensor([ids])).logits[0]
        found[f"ids{number}"] = np.array(ids)
        found[f"logits{number}"] = logits[:, kept].numpy()
        found[f"likeliest{number}"] = logits.argmax(-1).numpy()
    weights = hashlib.sha256((STARTER / "model.safetensors").read_bytes()).hexdigest()
    facts = {"weights": weights, "torch": torch.__version__, "transformers": transformers.__version__}
    np.savez_compressed(RECORDED, **found, facts=np.array(json.dumps(facts)))


if __name__ == "__main__":
    main()
