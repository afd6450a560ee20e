"""Trains starter-rerank in a given time and exports it: `python train.py --minutes 3 --out DIR --seed 1`."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers are many already
sys.path.append(str(Path(__file__).resolve().parents[2]))

import torch
import torch.nn.functional as F
from starter.common import scores
from starter.common.feed import Make
from starter.common.training import run
from starter.meanings import tokenizer as words
from starter.meanings.examples import INSTRUCTION, TASKS
from starter.meanings.recipe import PlacedTexts, Retrieval
from starter.rerank.batches import batches
from starter.rerank.evaluate import evaluate, torch_rank
from starter.rerank.prompt import PREFIX, TEMPLATE, Prompts, body
from tokenizers import Tokenizer
from torch import Tensor

LANGUAGE_UNTIL = 0.3  # of the time; full for its first half, then less and less


class Rerank(Retrieval):
    folder = Path(__file__).parent
    defaults: ClassVar = {"minutes": 3.0, "tokens": 131072, "evaluate_seconds": 35.0, "evaluate_cases": 500}
    sizes: ClassVar = {"hidden": 192, "layers": 5, "heads": 4, "kv_heads": 2, "head": 64, "intermediate": 288}
    template = TEMPLATE

    def train_tokenizer(self) -> Tokenizer:
        fixed = (PREFIX, body(INSTRUCTION, "", ""), "yes", "no")
        return words.train(self.options.seed, 4000 if self.options.tiny else 30000, fixed)

    def batches(self) -> Make:
        self.prompts = Prompts(self.tokenizer)
        return partial(batches, self.tokenizer, self.options.tokens)

    def losses(self, model: Any, placed: PlacedTexts, share: float) -> tuple[Tensor, ...]:
        """The right text of each group before the others, and each text on its side of yes and no among all words.

        At first guessing the next word counts as well: it teaches to look up in the query what the document repeats,
        without which nothing tells near texts apart.
        """
        hidden, table, prompts = self.hidden(model, placed), model.embeddings, self.prompts
        logits = F.linear(hidden[placed.ends].float(), table.float())
        first = torch.zeros(placed.groups, dtype=torch.long, device=hidden.device)
        found = (logits[:, prompts.yes] - logits[:, prompts.no]).unflatten(0, (placed.groups, -1))
        answers = torch.full_like(found, prompts.no, dtype=torch.long)
        answers[:, 0] = prompts.yes
        each = F.cross_entropy(logits, answers.flatten(), reduction="none").unflatten(0, found.shape)
        # The one right text weighs as much as all the others.
        pointwise = each[:, 0].mean() + each[:, 1:].mean()
        loss = F.cross_entropy(found, first) + pointwise
        if share < LANGUAGE_UNTIL:
            guesses = F.linear(hidden[placed.spots], table.to(hidden.dtype)).float()
            language = F.cross_entropy(guesses, placed.ids[placed.spots + 1])
            loss = loss + language * min(1.0, 2 * (1 - share / LANGUAGE_UNTIL))
        return loss, loss, (found.argmax(1) == first).float().mean()

    def evaluate(self, folder: Path) -> tuple[str, Any]:
        options, prompts = self.options, self.prompts
        rank = torch_rank(folder, prompts)
        found = evaluate(rank, prompts, options.evaluate_cases, options.evaluate_seconds, list(TASKS))
        return scores.table(found), scores.as_json(found)


if __name__ == "__main__":
    run(__doc__, Rerank())
