"""Trains the starter in a given time and exports it: `python train.py --minutes 7 --out DIR --seed 1`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers are many already
sys.path.append(str(Path(__file__).resolve().parents[2]))

import numpy as np
from starter.common import export, scores
from starter.common.feed import Make
from starter.common.network.model import TINY, Shape, Starter
from starter.common.network.placed import Placed, put, targets
from starter.common.recipe import Generative
from starter.common.training import run
from starter.llm import template
from starter.llm import tokenizer as words
from starter.llm.batches import Batch, batches
from starter.llm.conversation import CASES
from starter.llm.evaluate import evaluate, torch_answers
from tokenizers import Tokenizer


class PlacedConversations(Placed):
    """`context` is how much counts what others write."""

    def __init__(self, batch: Batch, recipe: Generative, context: float) -> None:
        super().__init__(batch.ids, batch.bounds, recipe.device, recipe.attend)
        chosen = targets(batch.weights, len(batch.ids) // 2)
        weights = batch.weights[chosen].astype(np.float32)
        weights[weights < 0.9] *= context
        self.chosen, self.weights = put(chosen, recipe.device), put(weights, recipe.device)


def fading(share: float) -> float:
    """What others write is learnt in the beginning; later its noise would drown what is left to learn."""
    return max(0.0, 1.0 - share / 0.4)


class Llm(Generative):
    folder = Path(__file__).parent
    defaults: ClassVar = {"minutes": 7.0, "tokens": 131072, "evaluate_seconds": 45.0, "evaluate_cases": 256}
    tiny: ClassVar = {"tokens": 8192, "long_share": 0.15, "evaluate_cases": 2}

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        help = "share of batches with rows of 8,192 tokens"
        parser.add_argument("--long-share", type=float, default=0.15, help=help)

    def train_tokenizer(self) -> Tokenizer:
        return words.train(self.options.seed, 2000 if self.options.tiny else 12000)

    def batches(self) -> Make:
        return partial(batches, self.tokenizer, tokens=self.options.tokens, long_share=self.options.long_share)

    def build(self) -> Starter:
        self.shape = Shape(self.tokenizer.get_vocab_size(), **(TINY if self.options.tiny else {}))
        return Starter(self.shape)

    def place(self, batch: Batch, share: float) -> PlacedConversations:
        return PlacedConversations(batch, self, 0.0 if self.options.resume else fading(share))

    def describe(self, folder: Path) -> None:
        values = {**asdict(self.shape), "begin": None}
        export.describe(self.tokenizer, folder, [export.TEXT], values, template.TEMPLATE)

    def card(self, log: dict[str, Any]) -> dict[str, Any]:
        if not log.get("earlier"):
            return {"began": "", "read": ""}
        runs = [f"seed {run['seed']}, {run['tokens'] / 1e6:.0f} million tokens" for run in log["earlier"]]
        return {
            "began": f" It went on from earlier runs: {'; '.join(runs)}.",
            "read": " What earlier runs got wrong\nwas read before the next, and the generator widened for it: "
            "to those who wrote the recipe the cases are not new.",
        }

    def evaluate(self, folder: Path) -> tuple[str, Any]:
        options = self.options
        found = evaluate(torch_answers(folder), options.evaluate_cases, 640, options.evaluate_seconds, list(CASES))
        return scores.table(found), scores.as_json(found)


if __name__ == "__main__":
    run(__doc__, Llm())
