"""What caches take and may take, in bytes: plain arithmetic on lengths, no tensors.

Everything that holds caches counts: the rows of the batch, in the buffers that they share, and the caches of prompts
that are being prefilled, which stay until the last of their sequences has joined the batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...cache.capacity import STEP, Costs, capacity

_REMEMBERED = 64


@dataclass(frozen=True)
class Occupancy:
    """`rows`: tokens of each row of the batch. `prefills`: (rows, tokens) of each prompt's own caches, when full."""

    rows: tuple[int, ...] = ()
    prefills: tuple[tuple[int, int], ...] = ()

    def and_rows(self, lengths: Iterable[int]) -> Occupancy:
        return Occupancy((*self.rows, *lengths), self.prefills)

    def and_prefill(self, rows: int, tokens: int) -> Occupancy:
        return Occupancy(self.rows, (*self.prefills, (rows, tokens)))


class CacheLedger:
    """`memory` bytes are for caches, None for as many as they like; `held` of them are taken by something else."""

    def __init__(self, memory: int | None, costs: Costs) -> None:
        self.memory = memory
        self.held = 0
        self._costs = costs
        self._capacities: dict[tuple[int, ...], int] = {}

    def fits(self, occupancy: Occupancy) -> bool:
        return self.memory is None or self.held + self.needed(occupancy) <= self.memory

    def ever_fits(self, occupancy: Occupancy, more: int = 0) -> bool:
        """Whether these fit where nothing else is, with so many bytes more."""
        return self.memory is None or self.needed(occupancy) + more <= self.memory

    def needed(self, occupancy: Occupancy) -> int:
        """Bytes of the caches of all of these."""
        prefills = sum(self._plain(rows, tokens) for rows, tokens in occupancy.prefills)
        return self._batch(occupancy.rows) + prefills

    def _batch(self, rows: tuple[int, ...]) -> int:
        """The same until a row needs a wider buffer, so a step costs a look-up."""
        widths = tuple(sorted(map(self._costs.width, rows)))
        if widths not in self._capacities:
            if len(self._capacities) >= _REMEMBERED:
                self._capacities.clear()
            self._capacities[widths] = capacity((width - 1 for width in widths), self._costs)
        return self._capacities[widths]

    def _plain(self, rows: int, tokens: int) -> int:
        """Caches of mlx-lm's own classes, which grow by steps."""
        return rows * self._costs.row.buffers(1, -(-tokens // STEP) * STEP)
