"""What real clients sent, recorded: method, path, headers and body, with lorem in place of prose. Not a part of the
repository: tests that replay them skip where the folder is absent (beside the checkout, or MLX_SERVE_CLIENT_SHAPES)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

_GIVEN = os.environ.get("MLX_SERVE_CLIENT_SHAPES")
_BESIDE = [parent / "shared" / "clients" / "shapes" for parent in Path(__file__).resolve().parents[3:5]]
FOLDER = next((folder for folder in ([Path(_GIVEN)] if _GIVEN else _BESIDE) if folder.is_dir()), None)
needs_shapes = pytest.mark.skipif(FOLDER is None, reason="the folder with what clients sent is not here")


def shape(name: str, model: str) -> dict[str, Any]:
    """The body of a recorded request, for this model."""
    if FOLDER is None:
        pytest.skip("the folder with what clients sent is not here")
    recorded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    body: dict[str, Any] = recorded["body"]
    return body | {"model": model}
