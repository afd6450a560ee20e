"""Trains the starter in a given time and exports it: `python train.py --minutes 7 --out DIR --seed 1`."""

from __future__ import annotations

import argparse
import json
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

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from starter.llm import export
from starter.llm import tokenizer as words
from starter.llm.batches import Batch, Feed
from starter.llm.conversation import CASES
from starter.llm.evaluate import as_json, evaluate, table, torch_answers
from starter.llm.model import Attention, Shape, Starter, flash, masked
from starter.llm.optimizer import Optimizer
from tokenizers import Tokenizer
from torch import Tensor

TINY = {"hidden": 64, "layers": 2, "heads": 2, "kv_heads": 1, "intermediate": 128}


def say(text: str) -> None:
    print(f"{time.monotonic() - _STARTED:7.1f} s  {text}", flush=True)


_STARTED = time.monotonic()


class Placed:
    """A batch on the device, with what the model needs beside the tokens."""

    def __init__(self, batch: Batch, device: torch.device, use_flash: bool, context: float = 1.0) -> None:
        count = len(batch.ids)
        lengths = np.diff(batch.bounds)
        starts = np.repeat(batch.bounds[:-1], lengths)
        targets = np.flatnonzero(batch.weights)
        room = count // 2  # a fixed size, so that the compiled loss serves every batch
        size = min(room, len(targets))
        # Filled up with tokens of no weight, each once: gradients that meet in one place are slow.
        chosen = np.concatenate([targets[:size], np.flatnonzero(batch.weights[1:] == 0)[: room - size] + 1])
        weights = batch.weights[chosen].astype(np.float32)
        weights[weights < 0.9] *= context
        self.ids = self._put(batch.ids.astype(np.int64), device)
        self.positions = self._put(np.arange(count) - starts, device)
        self.chosen = self._put(chosen, device)
        self.weights = self._put(weights, device)
        if use_flash:
            self.attention: Attention = flash(self._put(batch.bounds, device), batch.row)
        else:
            documents = np.repeat(np.arange(len(lengths)), lengths)
            self.attention = masked(self._put(documents, device), batch.row)

    @staticmethod
    def _put(values: Any, device: torch.device) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def loss_of(hidden: Tensor, table: Tensor, chosen: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted loss, and the plain loss on assistant tokens for the curve."""
    logits = F.linear(hidden[chosen - 1], table).float()
    losses = F.cross_entropy(logits, targets, reduction="none")
    ours = (weights > 0.9).float()
    return (losses * weights).sum() / weights.sum(), (losses.detach() * ours).sum() / ours.sum()


def flash_works(shape: Shape, device: torch.device) -> bool:
    """Whether the fast attention gives what the plain one gives, forwards and backwards."""
    if device.type != "cuda":
        return False
    try:
        torch.manual_seed(0)
        bounds = torch.tensor([0, 100, 300, 512, 700, 1024], dtype=torch.int32, device=device)
        documents = torch.repeat_interleave(torch.arange(5, device=device), bounds.diff().long())
        found = []
        for attention in (flash(bounds, 512), masked(documents, 512)):
            torch.manual_seed(1)
            q, k, v = (
                torch.randn(1024, shape.heads, shape.head, device=device).bfloat16().requires_grad_() for _ in range(3)
            )
            out = attention(q, k, v)
            (out.float() * torch.arange(shape.head, device=device)).sum().backward()
            found.append([out, q.grad, k.grad, v.grad])
        for fast, plain in zip(*found, strict=True):
            difference = (fast.float() - plain.float()).norm() / plain.float().norm()
            if not difference < 0.03:
                say(f"flash attention differs by {float(difference):.3f}: masked attention instead")
                return False
        return True
    except Exception:
        say("flash attention failed: masked attention instead\n" + traceback.format_exc(limit=3))
        return False


def schedule(share: float, plateau: float) -> float:
    """Warm-up, plateau until that share of the time, and a straight way down to nothing."""
    return min(1.0, share / 0.02) * min(1.0, max(0.0, (1.0 - share) / (1.0 - plateau)))


def fading(share: float) -> float:
    """What others write is learnt in the beginning; later its noise would drown what is left to learn."""
    return max(0.0, 1.0 - share / 0.4)


def train(
    options: argparse.Namespace, shape: Shape, feed: Feed, device: torch.device
) -> tuple[Starter, dict[str, Any]]:
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    model = Starter(shape)
    if options.resume:
        model.load_state_dict(load_file(options.resume / "model.safetensors"))
    model = model.to(device)
    optimizer = Optimizer(model, options.matrix_rate, options.other_rate)
    fast = flash_works(shape, device)
    head = loss_of
    if device.type == "cuda" and not options.eager:
        torch._dynamo.config.recompile_limit = 64
        model.compile()
        head = torch.compile(loss_of)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32

    def one(batch: Placed) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            hidden = model.hidden(batch.ids, batch.positions, batch.attention, dtype)
            loss, ours = head(
                hidden, model.model.embed_tokens.weight, batch.chosen, batch.ids[batch.chosen], batch.weights
            )
        loss.backward()
        return ours

    placed = Placed(feed.take(), device, fast, 0.0 if options.resume else 1.0)
    try:
        one(placed)
    except Exception:
        say("the compiled model failed: eager instead\n" + traceback.format_exc(limit=3))
        fresh = Starter(shape)
        model.before, model.after, head = fresh.before, fresh.after, loss_of
        for parameter in model.parameters():
            parameter.grad = None
        one(placed)
    for parameter in model.parameters():
        parameter.grad = None
    say(f"first pass done, flash attention: {fast}")

    began = time.monotonic()
    total = options.minutes * 60 - (began - _STARTED if options.count_start else 0)
    curve: list[dict[str, float]] = []
    recent: list[Tensor] = []
    ahead: deque[torch.cuda.Event] = deque()
    step = tokens = repeated = 0
    said = began
    while (elapsed := time.monotonic() - began) < total:
        ours = one(placed)
        optimizer.step(schedule(elapsed / total, options.plateau))
        step += 1
        tokens += len(placed.ids)
        recent.append(ours)
        batch = feed.take()  # while the device works
        repeated += not batch.fresh
        placed = Placed(batch, device, fast, 0.0 if options.resume else fading(elapsed / total))
        if device.type == "cuda":
            # The host runs a few steps ahead, no more: the schedule goes by the clock.
            event = torch.cuda.Event()
            event.record()
            ahead.append(event)
            if len(ahead) > 4:
                ahead.popleft().synchronize()
        if time.monotonic() - said > options.say:
            said = time.monotonic()
            loss = torch.stack(recent).mean().item()
            recent.clear()
            rate = tokens / (said - began)
            curve.append(
                {
                    "seconds": round(said - began, 1),
                    "step": step,
                    "loss": round(loss, 5),
                    "tokens": tokens,
                    "repeated": repeated,
                }
            )
            say(
                f"step {step} loss {loss:.4f} tokens {tokens / 1e6:.1f} M rate {rate / 1e6:.3f} M/s repeated {repeated}"
            )
    if recent:
        loss = torch.stack(recent).mean().item()
        curve.append(
            {
                "seconds": round(time.monotonic() - began, 1),
                "step": step,
                "loss": round(loss, 5),
                "tokens": tokens,
                "repeated": repeated,
            }
        )
    return model, {"steps": step, "tokens": tokens, "repeated_batches": repeated, "curve": curve, "flash": fast}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=131072, help="tokens of a batch")
    parser.add_argument("--long-share", type=float, default=0.15, help="share of batches with rows of 8,192 tokens")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 3))
    parser.add_argument("--resume", type=Path, help="go on from the model in this folder, with its tokenizer")
    parser.add_argument("--plateau", type=float, default=0.5, help="share of the time before the rates go down")
    parser.add_argument("--matrix-rate", type=float, default=0.005)
    parser.add_argument("--other-rate", type=float, default=0.003)
    parser.add_argument("--evaluate-seconds", type=float, default=45.0)
    parser.add_argument("--evaluate-cases", type=int, default=256)
    parser.add_argument("--say", type=float, default=5.0, help="seconds between lines of the log")
    parser.add_argument("--eager", action="store_true", help="no torch.compile")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal on a CPU: a model that learns nothing")
    parser.add_argument("--count-start", action="store_true", help="the minutes include the start")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.tiny:
        options.tokens, options.workers, options.evaluate_cases = 8192, 1, 2
        torch.set_num_threads(1)

    if options.resume:
        tokenizer = Tokenizer.from_file(str(options.resume / "tokenizer.json"))
    else:
        tokenizer = words.train(options.seed, 2000 if options.tiny else 12000)
    say(f"tokenizer ready: {tokenizer.get_vocab_size()} entries")
    shape = Shape(tokenizer.get_vocab_size(), **(TINY if options.tiny else {}))
    # The workers are forked before anything touches the GPU.
    feed = Feed(tokenizer, options.seed, options.tokens, 0.15 if options.tiny else options.long_share, options.workers)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, log = train(options, shape, feed, device)
    feed.close()

    export.weights(model, options.out)
    export.configs(shape, tokenizer, options.out)
    say("weights saved")
    import tokenizers
    import transformers

    parameters = sum(parameter.numel() for parameter in model.parameters())
    if options.resume and (earlier := options.resume / "training.json").is_file():
        log["before"] = {name: value for name, value in json.loads(earlier.read_text()).items() if name != "curve"}
    log |= {
        "seed": options.seed,
        "minutes": options.minutes,
        "parameters": parameters,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
        "options": {name: str(value) for name, value in vars(options).items() if name != "out"},
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
    }
    (options.out / "training.json").write_text(json.dumps(log, indent=1) + "\n")
    export.card(options.out, parameters, log, "Not evaluated.")
    try:
        answers = torch_answers(options.out)
        scores = evaluate(answers, options.evaluate_cases, 640, options.evaluate_seconds, list(CASES))
        (options.out / "evaluation.json").write_text(json.dumps(as_json(scores), indent=1, ensure_ascii=False) + "\n")
        export.card(options.out, parameters, log, table(scores))
        print(table(scores), flush=True)
    except Exception:
        say("the evaluation failed; the weights are safe\n" + traceback.format_exc())
    say("done")


if __name__ == "__main__":
    main()
