"""Records what Transformers computes for starter-vl, or checks the recorded file against it, live.

Run from tests/, in an environment with torch and transformers: `python -m reference.record_vision [--check]`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from reference.recorded_file import FOLDER
from reference.vision_cases import CASES, MERGE, MODEL, PATCH, patches, prompt

FILE = FOLDER / "starter-vl.npz"
TOLERANCE = 2e-4
LONGEST = 24


def inputs(name: str, tokenizer: Any, image: int) -> dict[str, torch.Tensor]:
    pictures, question = CASES[name]
    grids = [(1, picture.shape[0] // PATCH, picture.shape[1] // PATCH) for picture in pictures]
    sizes = [high * wide // MERGE**2 for _, high, wide in grids]
    ids: list[int] = []
    for token in tokenizer.encode(prompt(len(pictures), question), add_special_tokens=False):
        ids += [image] * sizes.pop(0) if token == image else [token]
    given = {"input_ids": torch.tensor([ids])}
    if pictures:
        given["pixel_values"] = torch.from_numpy(np.concatenate([patches(picture) for picture in pictures]))
        given["image_grid_thw"] = torch.tensor(grids)
    return given


def record() -> dict[str, NDArray[Any]]:
    """For each case the prompt, the greedy answer and every logit that led to it; each step a full pass."""
    model: Any = transformers.Qwen3VLForConditionalGeneration.from_pretrained(MODEL, dtype=torch.float32).eval()
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(MODEL)
    image, end = model.config.image_token_id, tokenizer.eos_token_id
    found: dict[str, NDArray[Any]] = {}
    for name in CASES:
        given = inputs(name, tokenizer, image)
        asked, rows, said = given["input_ids"], [], []
        while len(said) < LONGEST and said[-1:] != [end]:
            ids = torch.cat((asked, torch.tensor([said], dtype=torch.long)), 1)
            kinds = {"mm_token_type_ids": (ids == image).int()} if "pixel_values" in given else {}
            model.model.rope_deltas = None
            logits = model(**{**given, "input_ids": ids}, **kinds, use_cache=False).logits[0, -1]
            rows.append(logits.float().numpy())
            said.append(int(logits.argmax()))
        found[f"{name}.prompt"] = asked[0].numpy().astype(np.int16)
        found[f"{name}.answer"] = np.array(said, np.int16)
        found[f"{name}.logits"] = np.stack(rows)
    facts = {
        "sha256": hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    return found | {"facts": np.array(json.dumps(facts))}


def check(fresh: dict[str, NDArray[Any]]) -> list[str]:
    problems = []
    with np.load(FILE, allow_pickle=False) as known:
        if json.loads(str(known["facts"]))["sha256"] != json.loads(str(fresh["facts"]))["sha256"]:
            problems.append("the model is not the recorded one")
        for name in CASES:
            if not np.array_equal(known[f"{name}.answer"], fresh[f"{name}.answer"]):
                problems.append(f"{name}: another answer")
                continue
            difference = float(np.abs(known[f"{name}.logits"] - fresh[f"{name}.logits"]).max())
            if not difference < TOLERANCE:
                problems.append(f"{name}: logits differ by {difference:.2g}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    fresh = record()
    if not arguments.check:
        np.savez_compressed(FILE, **fresh)
    problems = check(fresh)
    print(f"starter-vl: {'; '.join(problems) or 'same'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
