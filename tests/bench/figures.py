"""The figures of several runs by what was measured: told as they come, and their medians."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


class Figures:
    def __init__(self) -> None:
        self._runs: dict[str, list[dict[str, float]]] = {}

    def note(self, name: str, figures: dict[str, float]) -> None:
        """One run's, which are printed."""
        self._runs.setdefault(name, []).append(figures)
        print(f"{name}: " + ", ".join(f"{kind} {figure:.2f}" for kind, figure in figures.items()), flush=True)

    def note_process(self, name: str, script: str, model: Path, *options: str) -> None:
        """Those that a script prints as JSON when it runs by itself."""
        command = [sys.executable, script, "--model", str(model), *options]
        self.note(name, json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))

    def medians(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Of all runs by each name."""
        for name, runs in self._runs.items():
            yield name, {kind: statistics.median(run[kind] for run in runs) for kind in runs[0]}
