"""Records what Sentence Transformers and Transformers compute for the tiny embedding models and rerankers, in float32.

Run from tests/, in an environment with torch, transformers and sentence-transformers:

    python -m reference.record_encoders            writes reference/recorded/encoders.npz
    python -m reference.record_encoders --check    computes all again and compares; exit status 1 where it differs
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import sentence_transformers
import torch
import transformers
from numpy.typing import NDArray
from reference.encoder_texts import DOCUMENTS, QUERY, TEXTS
from reference.encoders import CASES, CROSS_ENCODERS, EMBEDDERS, YES_NO, write
from reference.recorded_file import FOLDER

RECORDED = FOLDER / "encoders.npz"
TOLERANCE = 2e-5
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
Arrays = dict[str, NDArray[Any]]


def embeddings(name: str, folder: Path) -> Arrays:
    """Every text alone, which is what a batch must give too; with the model's prompt for queries as well."""
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    found = {f"{name}.vectors": np.stack([model.encode(text, convert_to_numpy=True) for text in TEXTS])}
    if model.prompts.get("query"):
        found[f"{name}.queries"] = np.stack([model.encode(text, prompt_name="query") for text in TEXTS])
    return found


def pairs(name: str, folder: Path) -> Arrays:
    model = sentence_transformers.CrossEncoder(str(folder), device="cpu")
    asked = [(QUERY, document) for document in DOCUMENTS]
    return {f"{name}.logits": np.array([model.predict([pair], activation_fn=torch.nn.Identity())[0] for pair in asked])}


def yes_no(name: str, folder: Path) -> Arrays:
    """The model card's own code, one document at a time: no padding."""
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    score = "score" in name
    auto: Any = transformers.AutoModelForSequenceClassification if score else transformers.AutoModelForCausalLM
    model = auto.from_pretrained(folder, dtype=torch.float32).eval()
    prefix = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    )
    suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    token_yes, token_no = tokenizer.convert_tokens_to_ids("yes"), tokenizer.convert_tokens_to_ids("no")
    logits = []
    for document in DOCUMENTS:
        body = f"<Instruct>: {INSTRUCTION}\n<Query>: {QUERY}\n<Document>: {document}"
        ids = [
            *tokenizer.encode(prefix, add_special_tokens=False),
            *tokenizer.encode(body, add_special_tokens=False),
            *tokenizer.encode(suffix, add_special_tokens=False),
        ]
        last = model(torch.tensor([ids])).logits[0]
        logits.append(float(last[0]) if score else float(last[-1, token_yes] - last[-1, token_no]))
    return {f"{name}.logits": np.array(logits, np.float32)}


@torch.inference_mode()
def record(parent: Path) -> Arrays:
    found: Arrays = {}
    digests = {}
    for kinds, compute in ((EMBEDDERS, embeddings), (CROSS_ENCODERS, pairs), (YES_NO, yes_no)):
        for name in kinds:
            digests[name] = write(name, parent)
            found |= compute(name, parent / name)
    versions = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "sentence_transformers": sentence_transformers.__version__,
    }
    return {**found, "facts": np.array(json.dumps(digests | versions))}


def main() -> int:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as parent:
        fresh = record(Path(parent))
    if "--check" not in sys.argv:
        np.savez_compressed(RECORDED, **fresh)  # type: ignore[arg-type]
        return 0
    with np.load(RECORDED, allow_pickle=False) as known:
        return int(differs(fresh, dict(known)))


def _digests(arrays: Arrays) -> dict[str, str]:
    """Of the checkpoints, by their names."""
    facts = json.loads(str(arrays["facts"]))
    return {name: facts.get(name) for name in CASES}


def differs(fresh: Arrays, known: Arrays) -> bool:
    """Whether anything is not as it was recorded; says how far each output is off."""
    failed = fresh.keys() != known.keys() or _digests(fresh) != _digests(known)
    if failed:
        print("the cases or their checkpoints are not those that were recorded: record again, or find out why")
    for name in sorted((fresh.keys() & known.keys()) - {"facts"}):
        difference = float(np.abs(fresh[name] - known[name]).max())
        failed |= not difference < TOLERANCE
        print(f"{name}: largest difference {difference:.2g}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
