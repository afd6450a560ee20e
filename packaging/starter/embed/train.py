"""Trains starter-embed in a given time and exports it: `python train.py --minutes 2.5 --out DIR --seed 1`."""

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
from starter.common.tokenizer import END_OF_TEXT
from starter.common.training import run
from starter.embed.batches import batches
from starter.embed.evaluate import DIMENSIONS, evaluate, torch_embed
from starter.meanings import tokenizer as words
from starter.meanings.examples import TASKS
from starter.meanings.recipe import PlacedTexts, Retrieval
from tokenizers import Tokenizer, processors
from torch import Tensor

TEMPERATURE, TOPIC_TEMPERATURE, TOPIC_SHARE = 0.04, 0.2, 0.03
_SHARES = dict(zip(DIMENSIONS, (0.5, 0.7, 0.8, 1.0), strict=True))


def _contrast(queries: Tensor, texts: Tensor, clash: Tensor) -> tuple[Tensor, Tensor]:
    """InfoNCE both ways: each query among all texts, each right text among all queries."""
    count = len(queries)
    logits = (queries @ texts.T / TEMPERATURE).masked_fill(clash, -1e4)
    own = torch.arange(count, device=queries.device)
    there = F.cross_entropy(logits, own)
    back = F.cross_entropy(logits[:, :count].T, own)
    return there + 0.3 * back, (logits.argmax(1) == own).float().mean()


def _topics(texts: Tensor, labels: Tensor) -> Tensor:
    """Texts of one domain lie nearer to each other than to others, as far as the contrast leaves room."""
    similar = texts @ texts.T / TOPIC_TEMPERATURE
    itself = torch.eye(len(texts), dtype=torch.bool, device=texts.device)
    logs = F.log_softmax(similar.masked_fill(itself, -1e4), dim=1)
    same = (labels[:, None] == labels[None]) & ~itself
    return -(logs * same).sum(1).div(same.sum(1).clamp(min=1)).mean()


class Embed(Retrieval):
    folder = Path(__file__).parent
    defaults: ClassVar = {"minutes": 2.5, "tokens": 131072, "evaluate_seconds": 35.0, "evaluate_cases": 500}
    sizes: ClassVar = {"hidden": 256, "layers": 4, "heads": 4, "kv_heads": 1, "head": 64, "intermediate": 256}

    def train_tokenizer(self) -> Tokenizer:
        return words.train(self.options.seed, 4000 if self.options.tiny else 30000)

    def batches(self) -> Make:
        return partial(batches, self.tokenizer, self.options.tokens)

    def losses(self, model: Any, placed: PlacedTexts, share: float) -> tuple[Tensor, ...]:
        states = self.hidden(model, placed)[placed.ends].float()
        # Other texts that answer as well are no negatives.
        clash = (placed.wanted[:, None, None] == placed.keys).any(-1).fill_diagonal_(False)
        loss = states.new_zeros(())
        for size, part in _SHARES.items():
            vectors = F.normalize(states[:, :size], dim=-1)
            apart, right = _contrast(vectors[: placed.groups], vectors[placed.groups :], clash)
            loss = loss + part * apart
        loss = loss / sum(_SHARES.values())
        loss = loss + TOPIC_SHARE * _topics(vectors[placed.groups : 2 * placed.groups], placed.labels)
        return loss, loss, right

    def describe(self, folder: Path) -> None:
        """Every text ends with <|endoftext|>, the token whose state is the embedding."""
        end = END_OF_TEXT
        self.tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {end}", pair=f"$A {end} $B:1 {end}:1", special_tokens=[(end, self.tokenizer.token_to_id(end))]
        )
        super().describe(folder)

    def card(self, log: dict[str, Any]) -> dict[str, Any]:
        return {**super().card(log), "sizes": ", ".join(map(str, DIMENSIONS))}

    def evaluate(self, folder: Path) -> tuple[str, Any]:
        options = self.options
        found = evaluate(torch_embed(folder), options.evaluate_cases, options.evaluate_seconds, list(TASKS))
        return scores.table(found), scores.as_json(found)


if __name__ == "__main__":
    run(__doc__, Embed())
