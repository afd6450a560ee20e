"""One step of the check on a Mac, and what came of it. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    PASSED = "passed"
    FAILED = "failed"
    HUNG = "took too long"
    INTERRUPTED = "interrupted"
    NOT_HERE = "needs macOS"
    ANSWERED = "answered"
    NOT_DONE = "not done"
    LISTED = "listed"


@dataclass(frozen=True)
class Step:
    """`command` runs in bash 3.2 and newer, in the checkout; `expect` is what a reader of its output should see.

    `question`: the step is done by hand, `command` is what to type, and the answer goes into the report.
    `portable`: also worth running elsewhere than on macOS.
    """

    name: str
    title: str
    command: str
    expect: str
    seconds: float = 120
    portable: bool = False
    question: str = ""


@dataclass(frozen=True)
class Result:
    step: Step
    outcome: Outcome
    seconds: float = 0.0
    output: str = ""

    @property
    def bad(self) -> bool:
        return self.outcome in (Outcome.FAILED, Outcome.HUNG)
