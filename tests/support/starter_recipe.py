"""Modules of the recipe of the built-in models, which is part of the repository and not of the package."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

_PACKAGING = Path(__file__).parents[2] / "packaging"


def recipe(name: str) -> ModuleType:
    """`starter.NAME`; without the repository the tests of the whole file are skipped."""
    if not (_PACKAGING / "starter").is_dir():
        pytest.skip("the recipe is part of the repository, not of the package", allow_module_level=True)
    sys.path.append(str(_PACKAGING))
    try:
        return importlib.import_module(f"starter.{name}")
    finally:
        sys.path.remove(str(_PACKAGING))
