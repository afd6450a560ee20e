"""Trains starter-vl in a given time and exports it: `python train.py --minutes 7 --out DIR --seed 1`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers are many already
sys.path.append(str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from starter.common import export
from starter.common.feed import Make
from starter.common.network.placed import put, targets
from starter.common.recipe import Generative
from starter.common.training import run, say
from starter.vl import template
from starter.vl import tokenizer as words
from starter.vl.batches import Batch, batches
from starter.vl.evaluate import as_json, evaluate, table, torch_answers
from starter.vl.model import Read, Shape, Starter, text_shape
from starter.vl.picture import atlas, patches
from starter.vl.picture.renderer import Renderer
from starter.vl.talk import TASKS
from tokenizers import Tokenizer
from torch import Tensor


class PlacedPictures:
    """Conversations on the device, with their pictures drawn."""

    def __init__(self, batch: Batch, renderer: Renderer) -> None:
        device = renderer.textures.device
        self.pictures, self.seen = batch.pictures, renderer.seen(batch)
        # Where pictures stand any token will do: many different ones, since gradients that meet in one are slow.
        ids = batch.ids.astype(np.int64)
        self.ids = put(ids, device)
        slots = batch.slots[batch.slots < len(ids)]
        ids = ids.copy()
        ids[slots] = slots % 997
        attention = renderer.attend(put(batch.bounds, device), int(np.diff(batch.bounds).max()), True)
        self.read = Read(put(ids, device), put(batch.position, device), put(batch.slots, device), attention)
        chosen = targets(batch.weights, len(ids) // 3)
        self.chosen, self.weights = put(chosen, device), put(batch.weights[chosen].astype(np.float32), device)


class Vl(Generative):
    folder = Path(__file__).parent
    defaults: ClassVar = {"minutes": 7.0, "tokens": 49152, "evaluate_seconds": 50.0, "evaluate_cases": 320}
    tiny: ClassVar = {"tokens": 4096, "patches": 4096, "evaluate_cases": 2}
    counted, digits = "pictures", 2

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--patches", type=int, default=65536, help="patches of a batch")
        help = "share of conversations kept to one shape or digit"
        parser.add_argument("--easy", type=float, default=0.2, help=help)

    def train_tokenizer(self) -> Tokenizer:
        return words.train(self.options.seed, 1500 if self.options.tiny else 8000)

    def batches(self) -> Make:
        """The evaluation's painters are forked here as well."""
        options = self.options
        self.painters = multiprocessing.get_context("fork").Pool(options.workers)
        return partial(batches, self.tokenizer, tokens=options.tokens, patches=options.patches, easy=options.easy)

    def build(self) -> Starter:
        size = self.tokenizer.get_vocab_size()
        self.shape = Shape(size, text=text_shape(size, self.options.tiny))
        textures = atlas.textures(self.options.seed).to(self.device)
        say(f"textures made: {len(textures)}")
        self.renderer = Renderer(textures, self.shape.side, self.options.patches, self.attend)
        return Starter(self.shape)

    def place(self, batch: Batch, share: float) -> PlacedPictures:
        return PlacedPictures(batch, self.renderer)

    def count(self, placed: PlacedPictures) -> int:
        return placed.pictures

    def hidden(self, model: Any, placed: PlacedPictures) -> Tensor:
        with self.autocast():
            return model.hidden(placed.read, placed.seen, self.dtype)

    def compile(self, model: Any) -> None:
        super().compile(model)
        self.renderer.drawer = torch.compile(atlas.draw)

    def uncompile(self, model: Any) -> None:
        super().uncompile(model)
        self.renderer.drawer = atlas.draw

    def describe(self, folder: Path) -> None:
        shape = self.shape
        values = {
            **asdict(shape.text),
            **{name: self.tokenizer.token_to_id(getattr(words, name.upper())) for name in words.PLACES},
            **{f"vision_{name}": getattr(shape, name) for name in ("hidden", "intermediate", "heads")},
            "depth": shape.depth,
            "deep": [shape.deep],
            "positions": shape.side**2,
            "sections": list(shape.sections),
            **{name: getattr(patches, name.upper()) for name in ("patch", "merge", "most", "fewest")},
        }
        export.describe(self.tokenizer, folder, [self.folder / "exported"], values, template.TEMPLATE)
        (folder / "chat_template.jinja").write_text(template.TEMPLATE + "\n")

    def card(self, log: dict[str, Any]) -> dict[str, Any]:
        """One line for each run; a later one went on from the weights of the one before."""
        runs = [
            f"{export.run(each, self.counted, self.digits)}, {export.versions(each)}."
            for each in [*log.get("earlier", []), log]
        ]
        begun = ["- Run: ", *["- Then "] * (len(runs) - 1)]
        return {
            "vocabulary": log["vocabulary"],
            "runs": "\n".join(start + each for start, each in zip(begun, runs, strict=True)),
        }

    def evaluate(self, folder: Path) -> tuple[str, Any]:
        options = self.options
        with self.painters:
            answers = torch_answers(folder, self.painters.map)
            found = evaluate(answers, options.evaluate_cases, options.evaluate_seconds, list(TASKS))
        return table(found), as_json(found)


if __name__ == "__main__":
    run(__doc__, Vl())
