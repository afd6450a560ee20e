"""mlx-lm, with the tokenizer and template that ship, gives Transformers' logits for the starter."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from numpy.typing import NDArray
from reference.recorded_file import FOLDER
from reference.starter_cases import CASES, MODEL
from support.own_process import run_module

TOLERANCE = 1e-3
RECORDED = FOLDER / "starter.npz"


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NDArray[np.float32]]:
    out = tmp_path_factory.mktemp("starter") / "computed.npz"
    run_module("reference.mlx_starter", RECORDED, out)
    with np.load(out, allow_pickle=False) as found:
        return dict(found)


def test_the_starter_is_the_recorded_one() -> None:
    with np.load(RECORDED, allow_pickle=False) as recorded:
        facts = json.loads(str(recorded["facts"]))
    assert facts["sha256"] == hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_transformers(name: str, computed: dict[str, NDArray[np.float32]]) -> None:
    """The same prompt, the same greedy answer, the whole row at its first steps, with a cache and without."""
    with np.load(RECORDED, allow_pickle=False) as recorded:
        assert computed[f"{name}.prompt"].tolist() == recorded[f"{name}.prompt"].tolist()
        logits, answer = recorded[f"{name}.logits"], recorded[f"{name}.answer"].tolist()
    assert len(answer) > 5
    for how in ("whole", "cached"):
        np.testing.assert_allclose(computed[f"{name}.{how}"][: len(logits)], logits, rtol=0, atol=TOLERANCE)
        assert computed[f"{name}.{how}"].argmax(-1).tolist() == answer
