"""How often the right text comes first, and what went wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Score:
    cases: int = 0
    right: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, right: bool, **failure: Any) -> None:
        self.cases += 1
        self.right += right
        if not right and len(self.failures) < 12:
            self.failures.append(failure)

    @property
    def accuracy(self) -> float:
        return self.right / self.cases if self.cases else 0.0


def save(scores: dict[str, Score], path: Path) -> None:
    found = {
        task: {"cases": s.cases, "accuracy": round(s.accuracy, 4), "failures": s.failures} for task, s in scores.items()
    }
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
