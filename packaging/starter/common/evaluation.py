"""What the four evaluations share: the command line, models as Transformers loads them, batches and answers."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from . import files


def arguments(description: str | None, tasks: Iterable[str], folder: str | None = None) -> argparse.ArgumentParser:
    """`folder` is "?" where another place can be asked."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path, nargs=folder)
    parser.add_argument("--backend", choices=("torch", "mlx"), default="torch")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--task", action="append", choices=list(tasks))
    parser.add_argument("--json", type=Path, help="write scores and failures to this file")
    return parser


def report(options: argparse.Namespace, table: str, found: Any) -> None:
    print(table)
    if options.json:
        files.write(options.json, found, 1)


def loaded(kind: Any, folder: Path) -> tuple[Any, str]:
    """A model and the device that it is on."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = kind.from_pretrained(folder, dtype=torch.bfloat16 if device == "cuda" else torch.float32)
    return model.to(device).eval(), device


def padded(rows: list[list[int]], pad: int, device: str) -> dict[str, Any]:
    """Tokens and mask of rows of different lengths, filled up on the left."""
    import torch

    longest = max(map(len, rows))
    return {
        "input_ids": torch.tensor([[pad] * (longest - len(row)) + row for row in rows], device=device),
        "attention_mask": torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device),
    }


def generated(
    model: Any, tokenizer: Any, inputs: dict[str, Any], longest: int, markers: bool = True
) -> Iterator[tuple[str, bool]]:
    """Greedy answers up to their end marker, and whether it came; with other special `markers` or without."""
    out = model.generate(**inputs, max_new_tokens=longest, do_sample=False)
    end = tokenizer.eos_token_id
    for row in out[:, inputs["input_ids"].shape[1] :].tolist():
        ended = end in row
        told = row[: row.index(end)] if ended else row
        yield tokenizer.decode(told, skip_special_tokens=not markers), ended


def rounds(cases: int, most: int, seconds: float) -> Iterator[range]:
    """Numbers of cases, so many at once; no round is begun that should not fit into the time."""
    began, done, slowest = time.monotonic(), 0, 0.0
    while done < cases and (not done or time.monotonic() - began + slowest < seconds):
        round_began = time.monotonic()
        yield range(done, min(cases, done + most))
        done = min(cases, done + most)
        slowest = max(slowest, time.monotonic() - round_began)
