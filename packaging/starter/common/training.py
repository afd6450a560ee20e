"""Trains a model in a given time, exports and evaluates it; what is particular to it, its recipe says."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import traceback
from collections import deque
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from . import export, files
from .feed import Feed
from .network import attention
from .network.optimizer import Optimizer
from .recipe import Recipe

_STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - _STARTED:7.1f} s  {text}", flush=True)


def schedule(share: float, plateau: float) -> float:
    """Warm-up, plateau until that share of the time, and a straight way down to nothing."""
    return min(1.0, share / 0.02) * min(1.0, max(0.0, (1.0 - share) / (1.0 - plateau)))


def parsed(description: str | None, recipe: Recipe) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, help="of training alone")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tokens", type=int, help="tokens of a batch")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 3))
    parser.add_argument("--resume", type=Path, help="go on from the model in this folder, with its tokenizer")
    parser.add_argument("--plateau", type=float, default=0.5, help="share of the time before the rates go down")
    parser.add_argument("--matrix-rate", type=float, default=0.005)
    parser.add_argument("--other-rate", type=float, default=0.003)
    parser.add_argument("--evaluate-seconds", type=float)
    parser.add_argument("--evaluate-cases", type=int)
    parser.add_argument("--say", type=float, default=5.0, help="seconds between lines of the log")
    parser.add_argument("--eager", action="store_true", help="no torch.compile")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal on a CPU: a model that learns nothing")
    parser.add_argument("--count-start", action="store_true", help="the minutes include the start")
    parser.set_defaults(**recipe.defaults)
    recipe.arguments(parser)
    options = parser.parse_args()
    if options.tiny:
        vars(options).update(recipe.tiny, workers=1)
        torch.set_num_threads(1)
    return options


class _Curve:
    """What the log says every few seconds, and in the end."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.began = recipe, time.monotonic()
        self.points: list[dict[str, float]] = []
        self.step = self.count = self.repeated = 0
        self._recent: list[Tensor] = []
        self._said = self.began

    def add(self, shown: Tensor, count: int) -> None:
        self.step += 1
        self.count += count
        self._recent.append(shown)

    def note(self, every: float = 0.0) -> None:
        if not self._recent or (now := time.monotonic()) - self._said < every:
            return
        self._said = now
        values = torch.stack(self._recent).mean(0).tolist()
        self._recent.clear()
        self.points.append(
            {
                "seconds": round(now - self.began, 1),
                "step": self.step,
                **{name: round(value, 5) for name, value in zip(self.recipe.shown, values, strict=True)},
                self.recipe.counted: self.count,
                "repeated": self.repeated,
            }
        )
        say(" ".join(f"{name} {value}" for name, value in self.points[-1].items()))


def train(recipe: Recipe, feed: Feed) -> tuple[Any, dict[str, Any]]:
    options, cuda = recipe.options, recipe.device.type == "cuda"
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    model = recipe.build()
    if options.resume:
        model.load_state_dict(load_file(options.resume / "model.safetensors"))
    model = model.to(recipe.device)
    optimizer = Optimizer(model, options.matrix_rate, options.other_rate)
    if cuda and not options.eager:
        torch._dynamo.config.recompile_limit = 64
        recipe.compile(model)

    def learn(placed: Any, share: float) -> Tensor:
        loss, *shown = recipe.losses(model, placed, share)
        loss.backward()
        return torch.stack(shown).detach()

    def first(batch: Any) -> Any:
        placed = recipe.place(batch, 0.0)
        learn(placed, 0.0)
        optimizer.clear()
        return placed

    batch, _ = feed.take()
    try:
        placed = first(batch)
    except Exception:
        say("the compiled model failed: eager instead\n" + traceback.format_exc(limit=3))
        recipe.uncompile(model)
        optimizer.clear()
        placed = first(batch)
    say("first pass done")

    curve = _Curve(recipe)
    total = options.minutes * 60 - (curve.began - _STARTED if options.count_start else 0)
    ahead: deque[torch.cuda.Event] = deque()
    while (share := (time.monotonic() - curve.began) / total) < 1.0:
        shown = learn(placed, share)
        optimizer.step(schedule(share, options.plateau))
        curve.add(shown, recipe.count(placed))
        batch, fresh = feed.take()  # while the device works
        curve.repeated += not fresh
        placed = recipe.place(batch, share)
        if cuda:
            # The host runs a few steps ahead, no more: the schedule goes by the clock.
            event = torch.cuda.Event()
            event.record()
            ahead.append(event)
            if len(ahead) > 4:
                ahead.popleft().synchronize()
        curve.note(options.say)
    curve.note()
    counted = {"steps": curve.step, recipe.counted: curve.count, "repeated_batches": curve.repeated}
    return model, {**counted, "curve": curve.points, "flash": recipe.attend is attention.flash}


def _described(recipe: Recipe, model: Any, log: dict[str, Any]) -> dict[str, Any]:
    """The log, with what it was made from."""
    options = recipe.options
    log = {
        **log,
        "seed": options.seed,
        "minutes": options.minutes,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocabulary": recipe.tokenizer.get_vocab_size(),
        "device": torch.cuda.get_device_name() if recipe.device.type == "cuda" else platform.machine(),
        "options": {name: str(value) for name, value in vars(options).items() if name != "out"},
        "versions": {each.__name__: each.__version__ for each in (torch, transformers, tokenizers)},
    }
    if options.resume and (earlier := options.resume / "training.json").is_file():
        known = json.loads(earlier.read_text())
        log["earlier"] = [*known.pop("earlier", []), known]
    return log


def run(description: str | None, recipe: Recipe) -> None:
    """The command line of a model's train.py."""
    recipe.options = options = parsed(description, recipe)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.resume:
        recipe.tokenizer = Tokenizer.from_file(str(options.resume / "tokenizer.json"))
    else:
        recipe.tokenizer = recipe.train_tokenizer()
    say(f"tokenizer ready: {recipe.tokenizer.get_vocab_size()} entries")
    # The workers are forked before anything touches the GPU.
    feed = Feed(recipe.batches(), options.seed, options.workers)
    recipe.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe.attend = attention.fastest(recipe.device, say)
    model, log = train(recipe, feed)
    feed.close()

    export.weights(model, options.out)
    recipe.describe(options.out)
    log = _described(recipe, model, log)
    files.write(options.out / "training.json", log, 1)

    def card(table: str) -> None:
        ran = export.run(log, recipe.counted, recipe.digits)
        export.card(recipe.folder / "card.md", options.out, log, run=ran, table=table, **recipe.card(log))

    card("Not evaluated.")
    say("weights saved")
    try:
        table, found = recipe.evaluate(options.out)
        files.write(options.out / "evaluation.json", found, 1)
        card(table)
        print(table, flush=True)
    except Exception:
        say("the evaluation failed; the weights are safe\n" + traceback.format_exc())
    say("done")
