"""mlx-lm loads the built-in language model as it is, and computes what Transformers does."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from meaning.language import conversations
from numpy.typing import NDArray

from mlx_serve.store.builtin import BUILTINS

RECORDED = Path(__file__).parent / "recorded" / "language.npz"
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def recorded() -> dict[str, NDArray[np.float32]]:
    with np.load(RECORDED, allow_pickle=False) as found:
        return dict(found)


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NDArray[np.float32]]:
    out = tmp_path_factory.mktemp("language") / "computed.npz"
    command = [sys.executable, "-m", "meaning.mlx_language", str(BUILTINS["starter"].folder), str(out)]
    subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True, timeout=100)
    with np.load(out, allow_pickle=False) as found:
        return dict(found)


def test_the_recording_is_of_these_weights(recorded: dict[str, NDArray[np.float32]]) -> None:
    weights = (BUILTINS["starter"].folder / "model.safetensors").read_bytes()
    facts = json.loads(str(recorded["facts"]))
    assert facts["weights"] == hashlib.sha256(weights).hexdigest(), "record again: python -m meaning.record_language"


@pytest.mark.parametrize("number", range(len(conversations())))
def test_tokens_and_logits_are_those_of_transformers(
    recorded: dict[str, NDArray[np.float32]], computed: dict[str, NDArray[np.float32]], number: int
) -> None:
    """In float32, at every position, from conversations that each side rendered and tokenized by itself."""
    assert recorded[f"ids{number}"].tolist() == computed[f"ids{number}"].tolist()
    np.testing.assert_allclose(computed[f"logits{number}"], recorded[f"logits{number}"], rtol=0, atol=TOLERANCE)
    same = (computed[f"likeliest{number}"] == recorded[f"likeliest{number}"]).mean()
    assert same > 0.99, "a tie may fall either way, not more"
