"""What the trainings of both retrieval models have in common."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..common import export
from ..common.network.model import Shape, Starter
from ..common.network.placed import Placed, put
from ..common.recipe import Recipe
from .batch import LONGEST, Batch
from .examples import INSTRUCTION, prompted


class PlacedTexts(Placed):
    """`ends` are the last tokens of the texts."""

    def __init__(self, batch: Batch, recipe: Recipe) -> None:
        device = recipe.device
        super().__init__(batch.ids, batch.bounds, device, recipe.attend)
        self.groups, self.texts = batch.groups, batch.texts
        self.ends = put(batch.bounds[1 : batch.texts + 1].astype(np.int64) - 1, device)
        self.labels, self.wanted, self.keys, self.spots = (
            None if values is None else put(values.astype(np.int64), device)
            for values in (batch.labels, batch.wanted, batch.keys, batch.spots)
        )


class Retrieval(Recipe):
    tiny: ClassVar = {"tokens": 16384, "evaluate_cases": 8}
    counted, digits, shown = "texts", 1, ("loss", "right")
    sizes: ClassVar[dict[str, int]]  # of the model
    template: str | None = None

    def build(self) -> Starter:
        self.shape = Shape(self.tokenizer.get_vocab_size(), context=LONGEST, **self.sizes)
        return Starter(self.shape)

    def place(self, batch: Batch, share: float) -> PlacedTexts:
        return PlacedTexts(batch, self)

    def count(self, placed: PlacedTexts) -> int:
        return placed.texts

    def describe(self, folder: Path) -> None:
        values = {**asdict(self.shape), "begin": export.ends(self.tokenizer)["pad"], "query": prompted(INSTRUCTION, "")}
        export.describe(
            self.tokenizer, folder, [export.TEXT, self.folder / "exported"], values, self.template, left=True
        )

    def card(self, log: dict[str, Any]) -> dict[str, Any]:
        runs = [f"seed {run['seed']}, {run['texts'] / 1e6:.1f} million texts" for run in log.get("earlier", ())]
        return {"context": LONGEST, "began": f" It went on from: {'; '.join(runs)}." if runs else ""}
