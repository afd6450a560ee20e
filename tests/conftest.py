"""What tests of every part need."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlx_serve.daemon.engine.blas import prefer_openblas

prefer_openblas()  # before anybody imports MLX, as a model's process does: products take a fraction of the time


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder of the test's own for Unix sockets: macOS allows their paths 103 bytes, and `tmp_path` is longer."""
    with tempfile.TemporaryDirectory(prefix="mlxs-", dir="/tmp") as made:
        yield Path(made).resolve()
