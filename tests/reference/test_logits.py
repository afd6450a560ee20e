"""mlx-lm gives Transformers' logits for every tiny checkpoint: the ground that the engine's own tests stand on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from reference.checkpoints import NAMES, PROMPT_LENGTHS, Checkpoint, make
from reference.recorded_file import FOLDER, FULL_ROWS, STEPS, read

Logits = Mapping[str, Mapping[str, NDArray[np.float32]]]
TOLERANCE = 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_the_checkpoint_is_the_recorded_one(name: str, checkpoints: dict[str, Checkpoint]) -> None:
    """The seed gives the same weights and config on this platform as where Transformers' answers were recorded."""
    assert checkpoints[name].sha256 == read(name).facts["sha256"]


def test_another_seed_gives_another_checkpoint(checkpoints: dict[str, Checkpoint], tmp_path: Path) -> None:
    assert make("llama", tmp_path, seed=12345).sha256 != checkpoints["llama"].sha256


@pytest.mark.parametrize("name", NAMES)
def test_no_recorded_step_is_a_near_tie(name: str) -> None:
    """The greedy choices are clear by more than any difference that the tests tolerate, and they are not one token."""
    recorded = read(name)
    assert recorded.continuations.shape == (len(PROMPT_LENGTHS), STEPS)
    assert recorded.smallest_gap > TOLERANCE
    assert all(len(set(row.tolist())) >= 4 for row in recorded.continuations)
    assert len({tuple(row.tolist()) for row in recorded.continuations}) == len(PROMPT_LENGTHS)


@pytest.mark.parametrize("how", ["whole", "cached"])
@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_transformers(name: str, how: str, mlx_logits: Logits) -> None:
    """Whole rows where they were recorded; at every other step the likeliest tokens and the sum over the vocabulary."""
    rows, recorded = mlx_logits[name][how], read(name)
    steps = rows[:, :STEPS]
    np.testing.assert_allclose(rows[:, list(FULL_ROWS)], recorded.full, rtol=0, atol=TOLERANCE)
    likeliest = np.take_along_axis(steps, recorded.top_ids, axis=-1)
    np.testing.assert_allclose(likeliest, recorded.top_values, rtol=0, atol=TOLERANCE)
    highest = steps.max(axis=-1)
    logsumexp = highest + np.log(np.exp(steps - highest[..., None]).sum(axis=-1))
    np.testing.assert_allclose(logsumexp, recorded.logsumexp, rtol=0, atol=TOLERANCE)
    assert np.array_equal(steps.argmax(axis=-1), recorded.continuations)


def test_the_recorded_files_are_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 2 << 20
