"""Which models this machine has warmed up: beside what MLX has compiled for them on NVIDIA GPUs, and gone with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

_ENDING = ".warmed"


class Warmed:
    """By the keys of trials (`kernels.trial_results`), which say all that kernels depend on; "": nobody knows."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        folder = environ.get("MLX_PTX_CACHE_DIR")
        self._folder = None if folder is None else Path(folder)

    def has(self, key: str) -> bool:
        return bool(key) and self._folder is not None and (self._folder / f"{key}{_ENDING}").exists()

    def note(self, key: str) -> None:
        """Where the disk does not take it, the next load warms up again."""
        if key and self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                (self._folder / f"{key}{_ENDING}").touch(mode=0o600)
