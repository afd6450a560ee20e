"""How much a test does: a part of it in each run, all of it with MLX_SERVE_LONG=1 (`make test-long`)."""

from __future__ import annotations

import os

import pytest

LONG = os.environ.get("MLX_SERVE_LONG") == "1"

only_long = pytest.mark.skipif(not LONG, reason="takes longer than it tells: MLX_SERVE_LONG=1 runs it")


def extent(usual: int, long: int) -> int:
    """How many rounds, bytes or cases: `usual` in each run, `long` where there is time."""
    return long if LONG else usual
