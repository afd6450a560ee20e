"""Which models fit into memory together: the budget in bytes and the maxima by kind. It decides and unloads nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import InsufficientMemory
from .budget import Budget, before_load
from .slot import Slot

if TYPE_CHECKING:
    from ..settings.schema import CacheSettings


class Room:
    """One new slot and the slots that hold memory. `limit` in bytes."""

    def __init__(self, newcomer: Slot, slots: Iterable[Slot], limit: int, cache: CacheSettings) -> None:
        self._newcomer = newcomer
        self._others = [slot for slot in slots if slot is not newcomer and slot.reserved]
        self._budget = Budget(limit)
        self._maximum = {
            "llm": cache.max_llm_models,
            "vlm": cache.max_vlm_models,
            "embedding": cache.max_embedding_models,
            "reranker": cache.max_reranker_models,
        }[newcomer.kind]
        self.wanted = before_load(newcomer.installed.size)

    @property
    def used(self) -> int:
        """Bytes that the others hold."""
        return sum(slot.reserved for slot in self._others)

    @property
    def fits(self) -> bool:
        return self._kind_fits and self._budget.fits(self.wanted, self.used)

    @property
    def _kind_fits(self) -> bool:
        return sum(slot.kind == self._newcomer.kind for slot in self._others) < self._maximum

    def check(self) -> None:
        """Raises InsufficientMemory when neither waiting nor unloading would help."""
        if not self._budget.fits(self.wanted, 0):
            raise InsufficientMemory(self._budget.refusal(self._newcomer.name, self.wanted, 0))
        if not self.fits and not self._others:
            raise InsufficientMemory(self._budget.refusal(self._newcomer.name, self.wanted, self.used))

    def victim(self) -> Slot | None:
        """The idle slot whose last use is longest ago, of the same kind when that is what is full."""
        idle = [slot for slot in self._others if slot.leases == 0 and slot.settled]
        if not self._kind_fits:
            idle = [slot for slot in idle if slot.kind == self._newcomer.kind]
        return min(idle, key=lambda slot: slot.last_used, default=None)
