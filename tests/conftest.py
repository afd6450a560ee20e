"""What tests of every part need."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.one_scan import prepare

from mlx_serve.daemon.engine.blas import prefer_openblas

gc.disable()  # what is imported and collected stays: nothing of it can be found to be garbage
prepare()
prefer_openblas()  # before anybody imports MLX, as a model's process does: products take a fraction of the time

YOUNG = 10_000
"""Objects between two passes of Python's collector: ten thousand tests are many objects that come and go."""


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """From here on there is garbage to be found, but not among the tests themselves."""
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    gc.enable()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder of the test's own for Unix sockets: macOS allows their paths 103 bytes, and `tmp_path` is longer."""
    with tempfile.TemporaryDirectory(prefix="mlxs-", dir="/tmp") as made:
        yield Path(made).resolve()
