"""The tiny checkpoints and what mlx-lm says of them, made once per test run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from reference.checkpoints import NAMES, Checkpoint, make
from support.own_process import run_module

Logits = Mapping[str, Mapping[str, NDArray[np.float32]]]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    parent = tmp_path_factory.mktemp("checkpoints")
    return {name: make(name, parent) for name in NAMES}


@pytest.fixture(scope="session")
def mlx_logits(checkpoints: dict[str, Checkpoint], tmp_path_factory: pytest.TempPathFactory) -> Logits:
    """For every architecture the rows that mlx-lm computes alone: `whole` and `cached`, each [8, STEPS + 1, V]. With
    nothing fused, as in a model's process."""
    out = tmp_path_factory.mktemp("mlx_logits")
    folder = checkpoints[NAMES[0]].folder.parent
    run_module("reference.mlx_logits", folder, out, fusing=False)
    return {name: dict(np.load(out / f"{name}.npz")) for name in NAMES}
