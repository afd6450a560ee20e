"""Record what Sentence Transformers computes: in an environment with torch and sentence-transformers, from tests/,

    python -m real.record_minilm

writes real/recorded/all-MiniLM-L6-v2.npz: every text alone, in float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import sentence_transformers
from real.minilm import TEXTS, folder

RECORDED = Path(__file__).with_name("recorded") / "all-MiniLM-L6-v2.npz"


def main() -> None:
    model = sentence_transformers.SentenceTransformer(str(folder()), device="cpu")
    vectors = np.stack([model.encode(text) for text in TEXTS])
    np.savez_compressed(RECORDED, vectors=vectors, version=np.array(sentence_transformers.__version__))


if __name__ == "__main__":
    main()
