"""Records what Transformers computes with the built-in retrieval models, in float32.

Run from tests/, in an environment with torch and transformers: python -m meaning.record
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from meaning.retrieval import messages, pairs, texts

BUILTINS = Path(__file__).parents[2] / "store" / "builtins"
RECORDED = Path(__file__).parent / "recorded" / "retrieval.npz"
COLUMNS = 64  # of the logits; every one of the vocabulary would be a large file


def _loaded(auto: Any, folder: Path) -> tuple[Any, Any]:
    return auto.from_pretrained(folder, dtype=torch.float32).eval(), transformers.AutoTokenizer.from_pretrained(folder)


@torch.inference_mode()
def main() -> None:
    model, tokenizer = _loaded(transformers.AutoModel, BUILTINS / "starter-embed")
    states = [model(torch.tensor([tokenizer.encode(text)])).last_hidden_state[0, -1] for text in texts()]
    model, tokenizer = _loaded(transformers.AutoModelForCausalLM, BUILTINS / "starter-rerank")
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    columns = sorted({yes, no, *range(0, model.config.vocab_size, model.config.vocab_size // COLUMNS)})
    logits = []
    for pair in pairs():
        text = tokenizer.apply_chat_template(
            messages(*pair), add_generation_prompt=True, enable_thinking=False, tokenize=False
        )
        ids = tokenizer.encode(text, add_special_tokens=False)
        logits.append(model(torch.tensor([ids])).logits[0, -1, columns])
    digests = {
        name: hashlib.sha256((BUILTINS / name / "model.safetensors").read_bytes()).hexdigest()
        for name in ("starter-embed", "starter-rerank")
    }
    RECORDED.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        RECORDED,
        states=torch.stack(states).numpy(),
        logits=torch.stack(logits).numpy(),
        columns=np.array(columns),
        yes=np.array(yes),
        no=np.array(no),
        facts=np.array(json.dumps({**digests, "torch": torch.__version__, "transformers": transformers.__version__})),
    )


if __name__ == "__main__":
    main()
