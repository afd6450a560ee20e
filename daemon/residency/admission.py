"""Who waits for memory: first come, first served, but nobody who has room waits for somebody who has none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..errors import InsufficientMemory
from .budget import Account, Ledger
from .slot import Slot


@dataclass(eq=False)
class _Newcomer:
    """A slot without memory yet; `promised` once somebody leaves for it."""

    slot: Slot
    admitted: asyncio.Future[None] = field(default_factory=asyncio.Future)
    promised: bool = False


class Admission:
    """`slots` gives the slots of all models; `put_out` begins to unload one. Whoever changes something calls `look`."""

    def __init__(self, slots: Callable[[], Iterable[Slot]], put_out: Callable[[Slot], object]) -> None:
        self._slots = slots
        self._put_out = put_out
        self._newcomers: list[_Newcomer] = []
        self._ledger: Ledger | None = None

    async def admit(self, slot: Slot, ledger: Ledger) -> None:
        """Returns when the slot has its share of memory. Raises InsufficientMemory when it never will."""
        self._ledger = ledger
        refusal = ledger.refusal(slot.account)
        if refusal is not None:
            raise InsufficientMemory(refusal)
        newcomer = _Newcomer(slot)
        self._newcomers.append(newcomer)
        try:
            self.look()
            await newcomer.admitted
        finally:
            self._newcomers.remove(newcomer)
            self.look()

    def look(self) -> None:
        """Admit and put out whom there is reason to."""
        for newcomer in list(self._newcomers):
            if not newcomer.admitted.done() and self._ledger is not None:
                self._consider(newcomer, self._ledger)

    def _consider(self, newcomer: _Newcomer, ledger: Ledger) -> None:
        present = {slot.base: slot for slot in self._with_memory()}
        decision = ledger.decide(
            newcomer.slot.account, [slot.account for slot in present.values()], self._promised_before(newcomer)
        )
        newcomer.promised = decision.action in ("wait", "put_out")
        if decision.action == "admit":
            self._share_out([*present.values(), newcomer.slot], ledger)
            newcomer.admitted.set_result(None)
        for key in decision.keys:
            self._put_out(present[key])

    def _promised_before(self, newcomer: _Newcomer) -> list[Account]:
        earlier = self._newcomers[: self._newcomers.index(newcomer)]
        return [one.slot.account for one in earlier if one.promised and not one.admitted.done()]

    def _with_memory(self) -> list[Slot]:
        return [slot for slot in self._slots() if slot.share]

    def share_out(self) -> None:
        """Cut the shares anew: a model is in, or has gone."""
        if self._ledger is not None:
            self._share_out(self._with_memory(), self._ledger)

    def _share_out(self, slots: list[Slot], ledger: Ledger) -> None:
        shares = ledger.shares([slot.account for slot in slots])
        for slot in slots:
            slot.take_share(shares[slot.base])

    @property
    def spare_fits(self) -> bool:
        """Whether there is room for a process without a model."""
        return self._ledger is None or self._ledger.spare_fits([slot.account for slot in self._with_memory()])
