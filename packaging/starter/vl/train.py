"""Trains starter-vl in a given time and exports it: `python train.py --minutes 7 --out DIR --seed 1`."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
import time
import traceback
from collections import deque
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers are many already
sys.path.append(str(Path(__file__).resolve().parents[2]))

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from starter.llm.optimizer import Optimizer
from starter.vl import atlas, export
from starter.vl import tokenizer as words
from starter.vl.attention import disagreement, flash, padded
from starter.vl.batches import Feed
from starter.vl.evaluate import as_json, evaluate, table, torch_answers
from starter.vl.model import Shape, Starter, text_shape
from starter.vl.placed import Placed, Studio
from starter.vl.talk import TASKS
from tokenizers import Tokenizer
from torch import Tensor


def say(text: str) -> None:
    print(f"{time.monotonic() - _STARTED:7.1f} s  {text}", flush=True)


_STARTED = time.monotonic()


def loss_of(hidden: Tensor, table: Tensor, chosen: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    logits = F.linear(hidden[chosen - 1], table).float()
    losses = F.cross_entropy(logits, targets, reduction="none")
    return (losses * weights).sum() / weights.sum()


def flash_works(device: torch.device) -> bool:
    """Whether the fast attention runs here, and gives what the plain one gives."""
    if device.type != "cuda":
        return False
    try:
        difference = disagreement(device)
    except Exception:
        say("flash attention failed: padded attention instead\n" + traceback.format_exc(limit=3))
        return False
    if not difference < 0.03:
        say(f"flash attention differs by {difference:.3f}: padded attention instead")
        return False
    return True


def schedule(share: float, plateau: float) -> float:
    """Warm-up, plateau until that share of the time, and a straight way down to nothing."""
    return min(1.0, share / 0.02) * min(1.0, max(0.0, (1.0 - share) / (1.0 - plateau)))


def train(
    options: argparse.Namespace, shape: Shape, feed: Feed, device: torch.device
) -> tuple[Starter, dict[str, Any]]:
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    textures = atlas.textures(options.seed).to(device)
    say(f"textures made: {len(textures)}")
    model = Starter(shape)
    if options.resume:
        model.load_state_dict(load_file(options.resume / "model.safetensors"))
    model = model.to(device)
    optimizer = Optimizer(model, options.matrix_rate, options.other_rate)
    fast = flash_works(device)
    studio = Studio(textures, shape.side, options.patches, flash if fast else padded)
    head = loss_of
    if device.type == "cuda" and not options.eager:
        torch._dynamo.config.recompile_limit = 64
        model.compile()
        head, studio.drawer = torch.compile(loss_of), torch.compile(atlas.draw)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32

    def one(ready: Placed) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            hidden = model.hidden(ready.read, ready.seen, dtype)
            table = model.model.language_model.embed_tokens.weight
            loss = head(hidden, table, ready.chosen, ready.ids[ready.chosen], ready.weights)
        loss.backward()
        return loss.detach()

    first = feed.take()
    try:
        ready = Placed(first, studio)
        one(ready)
    except Exception:
        say("the compiled model failed: eager instead\n" + traceback.format_exc(limit=3))
        fresh = Starter(shape)
        model.before, model.after, head = fresh.before, fresh.after, loss_of
        model.block_before, model.block_after = fresh.block_before, fresh.block_after
        studio.drawer = atlas.draw
        for parameter in model.parameters():
            parameter.grad = None
        ready = Placed(first, studio)
        one(ready)
    for parameter in model.parameters():
        parameter.grad = None
    say(f"first pass done, flash attention: {fast}")

    began = time.monotonic()
    total = options.minutes * 60 - (began - _STARTED if options.count_start else 0)
    curve: list[dict[str, float]] = []
    recent: list[Tensor] = []
    ahead: deque[torch.cuda.Event] = deque()
    step = pictures = repeated = 0
    said = began

    def note() -> None:
        loss = torch.stack(recent).mean().item()
        recent.clear()
        seconds = time.monotonic() - began
        curve.append(
            {
                "seconds": round(seconds, 1),
                "step": step,
                "loss": round(loss, 5),
                "pictures": pictures,
                "repeated": repeated,
            }
        )
        rate = pictures / seconds
        say(f"step {step} loss {loss:.4f} pictures {pictures / 1e6:.3f} M, {rate:.0f}/s, repeated {repeated}")

    spent = dict.fromkeys(("model", "optimizer", "feed", "drawing", "waiting"), 0.0)
    then = began

    def spend(what: str) -> None:
        nonlocal then
        spent[what] += (now := time.monotonic()) - then
        then = now

    while (elapsed := time.monotonic() - began) < total:
        loss = one(ready)
        spend("model")
        optimizer.step(schedule(elapsed / total, options.plateau))
        spend("optimizer")
        step += 1
        pictures += ready.pictures
        recent.append(loss)
        batch = feed.take()  # while the device works
        repeated += not batch.fresh
        spend("feed")
        ready = Placed(batch, studio)
        spend("drawing")
        if device.type == "cuda":
            # The host runs a few steps ahead, no more: the schedule goes by the clock.
            event = torch.cuda.Event()
            event.record()
            ahead.append(event)
            if len(ahead) > 4:
                ahead.popleft().synchronize()
        spend("waiting")
        if time.monotonic() - said > options.say:
            said = time.monotonic()
            note()
    if recent:
        note()
    host = {what: round(seconds, 1) for what, seconds in spent.items()}
    say(f"where the host was, in seconds: {host}")
    log = {
        "steps": step,
        "pictures": pictures,
        "repeated_batches": repeated,
        "curve": curve,
        "flash": fast,
        "host": host,
    }
    return model, log


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patches", type=int, default=65536, help="patches of a batch")
    parser.add_argument("--tokens", type=int, default=49152, help="tokens of a batch")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 3))
    parser.add_argument("--matrix-rate", type=float, default=0.005)
    parser.add_argument("--other-rate", type=float, default=0.003)
    parser.add_argument("--easy", type=float, default=0.2, help="share of conversations kept to one shape or digit")
    parser.add_argument("--plateau", type=float, default=0.5, help="share of the time before the rates go down")
    parser.add_argument("--resume", type=Path, help="go on from the model in this folder, with its tokenizer")
    parser.add_argument("--evaluate-seconds", type=float, default=50.0)
    parser.add_argument("--evaluate-cases", type=int, default=320)
    parser.add_argument("--say", type=float, default=5.0, help="seconds between lines of the log")
    parser.add_argument("--eager", action="store_true", help="no torch.compile")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal on a CPU: a model that learns nothing")
    parser.add_argument("--count-start", action="store_true", help="the minutes include the start")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.tiny:
        options.tokens, options.patches, options.workers, options.evaluate_cases = (4096, 4096, 1, 2)

    if options.resume:
        tokenizer = Tokenizer.from_file(str(options.resume / "tokenizer.json"))
    else:
        tokenizer = words.train(options.seed, 1500 if options.tiny else 8000)
    say(f"tokenizer: {tokenizer.get_vocab_size()} entries")
    shape = Shape(tokenizer.get_vocab_size(), text=text_shape(tokenizer.get_vocab_size(), options.tiny))
    # The workers and the evaluation's painters are forked before anything touches the GPU.
    painters = multiprocessing.get_context("fork").Pool(options.workers)
    feed = Feed(tokenizer, options.seed, options.tokens, options.patches, options.workers, options.easy)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, log = train(options, shape, feed, device)
    feed.close()

    export.weights(model, options.out)
    export.configs(shape, tokenizer, options.out)
    say("weights saved")
    import tokenizers
    import transformers

    parameters = sum(parameter.numel() for parameter in model.parameters())
    log |= {
        "seed": options.seed,
        "minutes": options.minutes,
        "parameters": parameters,
        "vocabulary": tokenizer.get_vocab_size(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
        "options": {name: str(value) for name, value in vars(options).items() if name != "out"},
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
    }
    if options.resume and (earlier := options.resume / "training.json").is_file():
        known = json.loads(earlier.read_text())
        log["earlier"] = [*known.pop("earlier", []), known]
    (options.out / "training.json").write_text(json.dumps(log, indent=1) + "\n")
    export.card(options.out, parameters, log, "Not evaluated.")
    try:
        scores = evaluate(
            torch_answers(options.out, painters.map), options.evaluate_cases, options.evaluate_seconds, list(TASKS)
        )
        (options.out / "evaluation.json").write_text(json.dumps(as_json(scores), indent=1, ensure_ascii=False) + "\n")
        export.card(options.out, parameters, log, table(scores))
        print(table(scores), flush=True)
    except Exception:
        say("the evaluation failed; the weights are safe\n" + traceback.format_exc())
    painters.terminate()
    say("done")


if __name__ == "__main__":
    main()
