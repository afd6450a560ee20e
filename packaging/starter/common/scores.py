"""How often a model is right, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MOST = 12  # failures that are kept of a task


@dataclass
class Score:
    cases: int = 0
    right: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, right: bool, **failure: Any) -> None:
        self.cases += 1
        self.right += right
        if not right and failure and len(self.failures) < MOST:
            self.failures.append(failure)

    @property
    def accuracy(self) -> float:
        return self.right / self.cases if self.cases else 0.0


def table(scores: dict[str, Score]) -> str:
    rows = [f"| {task} | {s.cases} | {100 * s.accuracy:.1f} % |" for task, s in scores.items() if s.cases]
    return "\n".join(["| task | cases | accuracy |", "| --- | --- | --- |", *rows])


def as_json(scores: dict[str, Score]) -> dict[str, Any]:
    return {
        task: {"cases": s.cases, "accuracy": round(s.accuracy, 4), "failures": s.failures} for task, s in scores.items()
    }
