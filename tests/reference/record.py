"""Records what Transformers computes for the tiny checkpoints, or checks the recorded files against it, live.

Run from tests/, in an environment with torch and transformers:

    python -m reference.record              writes reference/recorded/<architecture>.npz
    python -m reference.record --check      computes everything again and compares; exit status 1 where they differ
    python -m reference.record --seeds 40   tries seeds, prints how near the nearest tie is for each
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from reference.checkpoints import NAMES, Checkpoint, make, prompts
from reference.recorded_file import FULL_ROWS, STEPS, TOP, Recorded, read, write

TOLERANCE = 2e-4


def record(checkpoint: Checkpoint) -> Recorded:
    """Greedy continuations, every step a full forward pass without a cache: the definition, not an optimisation."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(checkpoint.folder, dtype=torch.float32).eval()
    near_ties = _watch_routers(model)
    sequences, rows = [], []
    for prompt in prompts():
        ids, logits = list(prompt), []
        for _ in range(STEPS + 1):
            last = model(torch.tensor([ids]), use_cache=False).logits[0, -1].float()
            logits.append(last)
            ids.append(int(last.argmax()))
        sequences.append(ids[len(prompt) : -1])
        rows.append(torch.stack(logits))
    everything = torch.stack(rows)
    top = everything[:, :STEPS].topk(TOP, dim=-1)
    return Recorded(
        continuations=np.array(sequences, np.int32),
        full=everything[:, list(FULL_ROWS)].numpy(),
        top_ids=top.indices.numpy().astype(np.int32),
        top_values=top.values.numpy(),
        logsumexp=everything[:, :STEPS].logsumexp(-1).numpy(),
        facts={
            "architecture": checkpoint.name,
            "sha256": checkpoint.sha256,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
            "smallest_router_gap": min(near_ties, default=None),
        },
    )


def _watch_routers(model: Any) -> list[float]:
    """Collects, from every router of every pass, how far the last expert chosen was from the first one left out."""
    gaps: list[float] = []

    def note(module: Any, _inputs: Any, output: Any) -> None:
        ordered = output[0].float().sort(dim=-1, descending=True).values
        gaps.append(float((ordered[:, module.top_k - 1] - ordered[:, module.top_k]).min()))

    for module in model.modules():
        if type(module).__name__.endswith("TopKRouter"):
            module.register_forward_hook(note)
    return gaps


def check(name: str, fresh: Recorded, known: Recorded) -> list[str]:
    problems = []
    if fresh.facts["sha256"] != known.facts["sha256"]:
        problems.append("the checkpoint is not the recorded one")
    if not np.array_equal(fresh.continuations, known.continuations):
        problems.append("greedy continuations differ")
    difference = float(np.abs(fresh.full - known.full).max())
    if not difference < TOLERANCE:
        problems.append(f"logits differ by {difference:.2g}")
    print(f"{name}: largest logit difference {difference:.2g}; {'; '.join(problems) or 'same'}")
    return problems


def describe(name: str, recorded: Recorded) -> str:
    variety = [len(set(row.tolist())) for row in recorded.continuations]
    router = recorded.facts["smallest_router_gap"]
    return (
        f"{name}: smallest top-2 gap {recorded.smallest_gap:.2g}, "
        f"smallest router gap {'none' if router is None else f'{router:.2g}'}, "
        f"distinct tokens of {STEPS} {min(variety)}-{max(variety)}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="ARCHITECTURE")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--seeds", type=int, default=0)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names:
            if arguments.seeds:
                for seed in range(arguments.seeds):
                    print(describe(f"{name} seed {seed}", record(make(name, Path(folder), seed=seed))), flush=True)
            elif arguments.check:
                failed |= bool(check(name, record(make(name, Path(folder))), read(name)))
            else:
                recorded = record(make(name, Path(folder)))
                write(name, recorded)
                print(describe(name, recorded), json.dumps(recorded.facts), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
