"""The loop that trains a retrieval model in a given time; what the loss is, the model's own recipe says."""

from __future__ import annotations

import argparse
import os
import platform
import time
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..llm.model import Attention, Shape, Starter, flash
from ..llm.optimizer import Optimizer
from .feed import Batch, Feed

# Hidden states of all tokens, embeddings, batch, how much of the time is over -> the loss, share right.
Loss = Callable[[Tensor, Tensor, "Placed", float], tuple[Tensor, Tensor]]
_STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - _STARTED:7.1f} s  {text}", flush=True)


class Placed:
    """A batch on the device, with what the model needs beside the tokens."""

    def __init__(self, batch: Batch, device: torch.device, use_flash: bool) -> None:
        lengths = np.diff(batch.bounds)
        starts = np.repeat(batch.bounds[:-1], lengths)
        self.groups, self.texts = batch.groups, batch.texts
        self.ids = self._put(batch.ids.astype(np.int64), device)
        self.ends = self._put(batch.bounds[1 : batch.texts + 1].astype(np.int64) - 1, device)
        self.positions = self._put(np.arange(len(batch.ids)) - starts, device)
        self.labels, self.wanted, self.keys, self.spots = (
            None if values is None else self._put(values.astype(np.int64), device)
            for values in (batch.labels, batch.wanted, batch.keys, batch.spots)
        )
        longest = int(lengths.max())
        if use_flash:
            self.attention: Attention = flash(self._put(batch.bounds, device), longest)
        else:
            pieces = self._put(np.repeat(np.arange(len(lengths)), lengths), device)
            self.attention = padded(pieces, self.positions, len(lengths), longest)

    @staticmethod
    def _put(values: Any, device: torch.device) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def padded(pieces: Tensor, positions: Tensor, count: int, longest: int) -> Attention:
    """Attention within each piece of a flat row, in padded rows: slower, runs anywhere."""

    def spread(x: Tensor) -> Tensor:
        return x.new_zeros(count, longest, *x.shape[1:]).index_put((pieces, positions), x).transpose(1, 2)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mixed = F.scaled_dot_product_attention(spread(q), spread(k), spread(v), is_causal=True)
        return mixed.transpose(1, 2)[pieces, positions]

    return attend


def flash_works(shape: Shape, device: torch.device) -> bool:
    """Whether the fast attention gives what the plain one gives, forwards and backwards."""
    if device.type != "cuda":
        return False
    try:
        bounds = torch.tensor([0, 100, 300, 512, 700, 1024], dtype=torch.int32, device=device)
        pieces = torch.repeat_interleave(torch.arange(5, device=device), bounds.diff().long())
        positions = torch.arange(1024, device=device) - bounds[pieces]
        found = []
        for attention in (flash(bounds, 324), padded(pieces, positions, 5, 324)):
            torch.manual_seed(1)
            q, k, v = (
                torch.randn(1024, shape.heads, shape.head, device=device).bfloat16().requires_grad_() for _ in range(3)
            )
            out = attention(q, k, v)
            (out.float() * torch.arange(shape.head, device=device)).sum().backward()
            found.append([out, q.grad, k.grad, v.grad])
        for fast, plain in zip(*found, strict=True):
            difference = float(((fast.float() - plain.float()).norm() / plain.float().norm()).detach())
            if not difference < 0.03:
                say(f"flash attention differs by {difference:.3f}: padded attention instead")
                return False
        return True
    except Exception:
        say("flash attention failed: padded attention instead\n" + traceback.format_exc(limit=3))
        return False


def schedule(share: float) -> float:
    """Warm-up, plateau, and a straight way down over the second half of the time."""
    return min(1.0, share / 0.02) * min(1.0, max(0.0, (1.0 - share) / 0.5))


def arguments(description: str | None, minutes: float) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, default=minutes, help="of training alone")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=131072, help="tokens of a batch")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    parser.add_argument("--matrix-rate", type=float, default=0.005)
    parser.add_argument("--other-rate", type=float, default=0.003)
    parser.add_argument("--evaluate-seconds", type=float, default=35.0)
    parser.add_argument("--evaluate-cases", type=int, default=500)
    parser.add_argument("--say", type=float, default=5.0, help="seconds between lines of the log")
    parser.add_argument("--eager", action="store_true", help="no torch.compile")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal on a CPU: smaller batches, fewer cases")
    return parser


def train(
    options: argparse.Namespace, shape: Shape, feed: Feed, device: torch.device, loss_of: Loss
) -> tuple[Starter, dict[str, Any]]:
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    model = Starter(shape).to(device)
    optimizer = Optimizer(model, options.matrix_rate, options.other_rate)
    cuda = device.type == "cuda"
    if cuda and not options.eager:
        torch._dynamo.config.recompile_limit = 64
        model.compile()
    fast = flash_works(shape, device)
    dtype = torch.bfloat16 if cuda else torch.float32

    def one(batch: Placed, share: float) -> tuple[Tensor, Tensor]:
        with torch.autocast(device.type, torch.bfloat16, enabled=cuda):
            hidden = model.hidden(batch.ids, batch.positions, batch.attention, dtype)
        loss, right = loss_of(hidden, model.model.embed_tokens.weight, batch, share)
        loss.backward()
        return loss.detach(), right.detach()

    placed = Placed(feed.take(), device, fast)
    try:
        one(placed, 0.0)
    except Exception:
        say("the compiled model failed: eager instead\n" + traceback.format_exc(limit=3))
        fresh = Starter(shape)
        model.before, model.after = fresh.before, fresh.after
        one(placed, 0.0)
    for parameter in model.parameters():
        parameter.grad = None
    say(f"first pass done, flash attention: {fast}")

    began = said = time.monotonic()
    total = options.minutes * 60
    curve: list[dict[str, float]] = []
    recent: list[Tensor] = []
    ahead: deque[Any] = deque()
    step = texts = repeated = 0

    def note() -> None:
        if not recent:
            return
        loss, right = torch.stack(recent).mean(0).tolist()
        recent.clear()
        point = {"seconds": round(time.monotonic() - began, 1), "step": step, "loss": round(loss, 5)}
        curve.append({**point, "right": round(right, 5), "texts": texts, "repeated": repeated})
        say(f"step {step} loss {loss:.4f} right {right:.4f} texts {texts} repeated {repeated}")

    while (elapsed := time.monotonic() - began) < total:
        recent.append(torch.stack(one(placed, elapsed / total)))
        optimizer.step(schedule(elapsed / total))
        step += 1
        texts += placed.texts
        batch = feed.take()  # while the device works
        repeated += not batch.fresh
        placed = Placed(batch, device, fast)
        if cuda:
            # The host runs a few steps ahead, no more: the schedule goes by the clock.
            event = torch.cuda.Event()
            event.record()
            ahead.append(event)
            if len(ahead) > 4:
                ahead.popleft().synchronize()
        if time.monotonic() - said > options.say:
            said = time.monotonic()
            note()
    note()
    import tokenizers
    import transformers

    log = {
        "steps": step,
        "texts": texts,
        "repeated_batches": repeated,
        "curve": curve,
        "seed": options.seed,
        "minutes": options.minutes,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "device": torch.cuda.get_device_name() if cuda else platform.machine(),
        "options": {name: str(value) for name, value in vars(options).items() if name != "out"},
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
    }
    return model, log
