"""What a model's own folder says of its training, and the loss of those that learn to write."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from .network.attention import Attend


class Recipe:
    """One run. Beside what stands here, each model's own recipe says:

    - `train_tokenizer()`, and `batches()`: what makes batches from a seed, in workers that are forked from here
    - `build()`: the model, untrained; `place(batch, share)`: a batch on the device when that share of the time is over
    - `losses(model, placed, share)`: what is learnt, and then what the curve shows
    - `describe(folder)`: configurations and tokenizer; `evaluate(folder)`: a table, and all that was found
    """

    folder: Path  # where its recipe stands
    defaults: ClassVar[dict[str, Any]]  # of the command line: minutes, tokens, and how much is evaluated
    tiny: ClassVar[dict[str, Any]]  # of a rehearsal
    counted = "tokens"  # in millions, with so many digits in the model card
    digits = 0
    shown: tuple[str, ...] = ("loss",)  # in the curve

    options: argparse.Namespace  # known from the start
    tokenizer: Tokenizer  # known when batches are made
    device: torch.device  # known when the model is built
    attend: Attend

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Options of its own."""

    def count(self, placed: Any) -> int:
        return len(placed.ids)

    def compile(self, model: Any) -> None:
        model.compile()

    def uncompile(self, model: Any) -> None:
        model.uncompile()

    def card(self, log: dict[str, Any]) -> dict[str, Any]:
        """What its model card says beside what all say."""
        return {}

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def hidden(self, model: Any, placed: Any) -> Tensor:
        with self.autocast():
            return model.hidden(placed.ids, placed.positions, placed.attention, self.dtype)


def next_token_loss(
    hidden: Tensor, table: Tensor, chosen: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """The weighted loss, and the plain loss on assistant tokens for the curve."""
    logits = F.linear(hidden[chosen - 1], table).float()
    losses = F.cross_entropy(logits, targets, reduction="none")
    ours = (weights > 0.9).float()
    return (losses * weights).sum() / weights.sum(), (losses.detach() * ours).sum() / ours.sum()


class Generative(Recipe):
    """The next token is learnt, where the assistant writes."""

    loss: Callable[..., tuple[Tensor, Tensor]] = staticmethod(next_token_loss)

    def losses(self, model: Any, placed: Any, share: float) -> tuple[Tensor, ...]:
        hidden = self.hidden(model, placed)
        with self.autocast():
            return self.loss(hidden, model.embeddings, placed.chosen, placed.ids[placed.chosen], placed.weights)

    def compile(self, model: Any) -> None:
        model.compile()
        self.loss = torch.compile(next_token_loss)

    def uncompile(self, model: Any) -> None:
        model.uncompile()
        self.loss = next_token_loss
