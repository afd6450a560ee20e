"""Forced calls of random tools in every family's notation: each is read as a call of an offered tool, and its arguments
fit the tool's schema."""

from __future__ import annotations

import os
import random

import pytest
from support.forced_calls import force, talk

from mlx_serve.daemon.engine.output.formats.family import Family
from mlx_serve.daemon.engine.output.formats.table import FAMILIES

CALLS = int(os.environ.get("MLX_SERVE_TEST_CALLS", "25"))
"""Of each family; `make forced` takes a thousand and prints what came of them."""
SEED = int(os.environ.get("MLX_SERVE_TEST_SEED", "5"))


@pytest.mark.parametrize("family", [each for each in FAMILIES if each.shape], ids=lambda family: family.name)
def test_every_forced_call_is_valid(family: Family) -> None:
    """Required or named, strict or not, parallel or not, whole and streamed; the markers special tokens or letters."""
    tally = force(family, CALLS, random.Random(SEED))
    print(f"{family.name}: {tally.calls} calls, {tally.cut} cut, {len(tally.wrong)} wrong")
    assert not tally.wrong, tally.wrong[0]
    assert tally.calls >= CALLS and tally.cut * 4 < tally.walks


@pytest.mark.parametrize(
    "family", [each for each in FAMILIES if each.shape and each.shape.trigger], ids=lambda family: family.name
)
def test_strict_calls_in_free_answers_are_valid(family: Family) -> None:
    """Where the model may answer or call, whatever is a call of a strict tool fits its schema."""
    tally = talk(family, CALLS, random.Random(SEED))
    assert not tally.wrong, tally.wrong[0]
    assert tally.calls >= CALLS // 20
