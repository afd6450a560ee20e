"""One recorded file per architecture: what Transformers answered, small enough to commit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "recorded"
STEPS = 40
TOP = 8
FULL_ROWS = (0, 1, 20, 40)


@dataclass(frozen=True)
class Recorded:
    """Row p is prompt p of `checkpoints.prompts()`; row s of it is what the model says after s generated tokens.

    continuations [8, 40] token ids; full [8, 4, V] whole logit rows after FULL_ROWS generated tokens; top_ids and
    top_values [8, 40, 8] the likeliest tokens' logits, best first; logsumexp [8, 40] over the whole row.
    """

    continuations: NDArray[np.int32]
    full: NDArray[np.float32]
    top_ids: NDArray[np.int32]
    top_values: NDArray[np.float32]
    logsumexp: NDArray[np.float32]
    facts: dict[str, Any]

    @property
    def smallest_gap(self) -> float:
        """The nearest that any greedy step comes to a tie."""
        return float((self.top_values[..., 0] - self.top_values[..., 1]).min())


def path(name: str) -> Path:
    return FOLDER / f"{name}.npz"


def write(name: str, recorded: Recorded) -> None:
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(
        path(name),
        continuations=recorded.continuations.astype(np.int16),
        full=recorded.full,
        top_ids=recorded.top_ids.astype(np.int16),
        top_values=recorded.top_values,
        logsumexp=recorded.logsumexp,
        facts=np.array(json.dumps(recorded.facts)),
    )


def read(name: str) -> Recorded:
    with np.load(path(name), allow_pickle=False) as arrays:
        return Recorded(
            continuations=arrays["continuations"].astype(np.int32),
            full=arrays["full"],
            top_ids=arrays["top_ids"].astype(np.int32),
            top_values=arrays["top_values"],
            logsumexp=arrays["logsumexp"],
            facts=json.loads(str(arrays["facts"])),
        )
