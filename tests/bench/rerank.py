"""Reranking with the query prefilled once, beside scoring each full pair: the same engine, the same batches.

    python tests/bench/rerank.py [--model FOLDER] [--documents 100] [--query 300] [--tokens 200] [--rounds 3]

In this process and without HTTP. Rounds alternate; only the ratios of one round mean something.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mlx_serve.daemon.engine.blas import prefer_openblas
from mlx_serve.daemon.engine.process import import_mlx_lm

prefer_openblas()
import_mlx_lm()

from support.row_engine import RowEngine  # noqa: E402

from mlx_serve.daemon.protocol import Ranked, Rerank  # noqa: E402
from mlx_serve.store.ingest.builtin import BUILTINS  # noqa: E402

WORDS = (
    *("the", "house", "river", "stone", "blue", "green", "walks", "reads"),
    *("under", "light", "paper", "winter", "garden", "music", "number", "seven"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUILTINS["starter-rerank"].folder)
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--query", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    engine = RowEngine.reranking(options.model)
    source = random.Random(1)

    def text(tokens: int) -> str:
        return " ".join(source.choice(WORDS) for _ in range(tokens))

    work = Rerank(query=text(options.query), documents=tuple(text(options.tokens) for _ in range(options.documents)))
    rows = engine.prompts.preparer.prepare(work)
    print(f"pairs of {len(rows[0].tokens)} tokens, {rows[0].head} of them shared")
    texts = engine.prompts.preparer
    ratios = []
    for number in range(options.rounds + 1):
        seconds = []
        logits = []
        for shares in (True, False):
            texts._shares = shares
            began = time.perf_counter()
            (event,) = engine.ask(work)
            seconds.append(time.perf_counter() - began)
            assert isinstance(event, Ranked), event
            logits.append(event.logits)
        worst = max(abs(a - b) for a, b in zip(*logits, strict=True))
        if number:
            ratios.append(seconds[1] / seconds[0])
            print(
                f"shared {seconds[0]:.2f} s, full pairs {seconds[1]:.2f} s: {ratios[-1]:.2f} times; apart {worst:.1g}"
            )
    print(f"median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
