"""mlx-vlm, with its own picture processor, gives Transformers' logits for the starter-vl that ships."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from reference.recorded_file import FOLDER
from reference.vision_cases import CASES, MODEL
from support.own_process import run_module

TOLERANCE = 1e-3
RECORDED = FOLDER / "starter-vl.npz"


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what mlx-vlm computes, one file for each case."""
    out = tmp_path_factory.mktemp("vision")
    run_module("reference.mlx_vision", "logits", out)
    return out


def test_the_model_is_the_recorded_one() -> None:
    with np.load(RECORDED, allow_pickle=False) as recorded:
        facts = json.loads(str(recorded["facts"]))
    assert facts["sha256"] == hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_transformers(name: str, computed: Path) -> None:
    """The same tokens from the same pictures; the whole row at every step of the answer, with a cache and without."""
    with np.load(RECORDED, allow_pickle=False) as recorded, np.load(computed / f"{name}.npz") as ours:
        assert ours["ids"].tolist() == recorded[f"{name}.prompt"].tolist()
        assert len(recorded[f"{name}.answer"]) > 3
        for how in ("whole", "cached"):
            np.testing.assert_allclose(ours[how], recorded[f"{name}.logits"], rtol=0, atol=TOLERANCE)
            assert ours[how].argmax(-1).tolist() == recorded[f"{name}.answer"].tolist()
