"""Which rows go into the next batch: plain arithmetic on lengths, no tensors and no clock.

A batch costs rows times the longest one's length, so rows of like length go together, whoever's they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..shapes import EXACT, Shapes
from ..texts.row import Row
from .row_job import RowJob

NEAR = 8  # tokens of difference that never matter
SHARE = 0.2  # of a length that may be padding
MOST_ROWS = 1024


@dataclass(frozen=True)
class Budget:
    """The most of one batch: `tokens` with the padding, and bytes of memory, of which a token takes `token_bytes` and
    a pair of tokens of one row `pair_bytes`. One row always fits. `shapes`: what a batch is made up to."""

    tokens: int
    memory: int | None = None
    token_bytes: int = 0
    pair_bytes: int = 0
    shapes: Shapes = EXACT

    def fits(self, rows: int, width: int) -> bool:
        if rows == 1:
            return True
        if rows > MOST_ROWS or rows * width > self.tokens:
            return False
        rows, width = self.shapes.rows(rows), self.shapes.columns(width)
        taken = rows * width * (self.token_bytes + width * self.pair_bytes)
        return self.memory is None or taken <= self.memory


def pack(first: RowJob, others: Iterable[RowJob], budget: Budget) -> list[Row]:
    """Rows of the job whose turn it is, longest first, and then rows of like length of the others. They wait on."""
    longest = first.waiting[-1].length
    shortest = min(longest - NEAR, int(longest * (1 - SHARE)))
    rows: list[Row] = []
    width = longest
    for row in first.between(shortest, longest):
        if not budget.fits(len(rows) + 1, width):
            return rows
        rows.append(row)
    most = max(longest + NEAR, int(longest * (1 + SHARE)))
    for job in others:
        if job is first:
            continue
        for row in job.between(shortest, most):
            wider = max(width, row.length)
            if not budget.fits(len(rows) + 1, wider):
                if wider == width:
                    return rows
                continue
            rows.append(row)
            width = wider
    return rows
