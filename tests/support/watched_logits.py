"""Every row of logits that an engine under test draws from."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_serve.daemon.engine.generate.generator import Generator

Rows = dict[int, list[NDArray[np.float32]]]


def watch(generator: Generator) -> Rows:
    """By the id of the request, a row a token; filled as the engine runs."""
    rows: Rows = {}
    batch = generator._batch
    sampler: Any = batch._sampler
    sample = sampler.sample

    def watched(logits: mx.array, *given: Any) -> Any:
        for sequence, row in zip(batch.sequences, np.array(logits.astype(mx.float32)), strict=True):
            rows.setdefault(sequence.ask, []).append(row)
        return sample(logits, *given)

    sampler.sample = watched
    return rows
