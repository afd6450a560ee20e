"""Who waits for memory: first come, first served, but nobody who has room waits for somebody who has none.

A newcomer for whom busy models would have to go waits WAIT_SECONDS; then the ones used longest ago take no new
requests, finish those they have, and go. Each has had its time by then: RESIDENCE_SECONDS, or LOADS_WORTH times what
its load took. Whoever wants it again is a newcomer like others, and gets it back by the same rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..errors import InsufficientMemory
from .budget import Account, Ledger
from .slot import Slot

WAIT_SECONDS = 3.0
RESIDENCE_SECONDS = 10.0
LOADS_WORTH = 4.0


@dataclass(eq=False)
class _Newcomer:
    """A slot without memory yet; `promised` once somebody leaves for it, `since` in the loop's time."""

    slot: Slot
    since: float
    admitted: asyncio.Future[None] = field(default_factory=asyncio.Future)
    promised: bool = False


class Admission:
    """`slots` gives the slots of all models; `put_out` begins to unload one. Whoever changes something calls `look`."""

    def __init__(self, slots: Callable[[], Iterable[Slot]], put_out: Callable[[Slot], object]) -> None:
        self._slots = slots
        self._put_out = put_out
        self._newcomers: list[_Newcomer] = []
        self._ledger: Ledger | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def admit(self, slot: Slot, ledger: Ledger) -> None:
        """Returns when the slot has its share of memory. Raises InsufficientMemory when it never will."""
        self._ledger = ledger
        refusal = ledger.refusal(slot.account, [one.account for one in self._with_memory()])
        if refusal is not None:
            raise InsufficientMemory(refusal)
        newcomer = _Newcomer(slot, asyncio.get_running_loop().time())
        self._newcomers.append(newcomer)
        try:
            self.look()
            await newcomer.admitted
        finally:
            self._newcomers.remove(newcomer)
            self.look()

    def look(self) -> None:
        """Admit and put out whom there is reason to."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        first_blocked = True
        for newcomer in list(self._newcomers):
            if newcomer.admitted.done() or self._ledger is None:
                continue
            blocked = self._consider(newcomer, self._ledger)
            if blocked and newcomer.slot.leases and first_blocked:
                first_blocked = False
                self._close_busy(newcomer, self._ledger)

    def _consider(self, newcomer: _Newcomer, ledger: Ledger) -> bool:
        """Whether it is blocked by busy models."""
        present = {slot.base: slot for slot in self._with_memory()}
        accounts = [slot.account for slot in present.values()]
        if (refusal := ledger.refusal(newcomer.slot.account, accounts)) is not None:
            newcomer.admitted.set_exception(InsufficientMemory(refusal))
            return False
        decision = ledger.decide(newcomer.slot.account, accounts, self._promised_before(newcomer))
        newcomer.promised = decision.action in ("wait", "put_out")
        if decision.action == "admit":
            self._share_out([*present.values(), newcomer.slot], ledger)
            newcomer.admitted.set_result(None)
        for key in decision.keys:
            self._put_out(present[key])
        return decision.action == "blocked"

    def _close_busy(self, newcomer: _Newcomer, ledger: Ledger) -> None:
        """Only for the first of those who are blocked: a later one could take its turn away for ever."""
        loop = asyncio.get_running_loop()
        staying = [slot for slot in self._with_memory() if slot.closing is None]
        over = {slot.base: residence_end(slot) for slot in staying if slot.settled and not slot.pinned}
        now, waited = loop.time(), newcomer.since + WAIT_SECONDS
        going = ledger.victims(
            newcomer.slot.account,
            [slot.account for slot in staying],
            self._promised_before(newcomer),
            [slot.account for slot in staying if slot.base in over and (not slot.leases or over[slot.base] <= now)],
        )
        if going and waited <= now:
            newcomer.promised = True
            for slot in staying:
                if slot.base in going:
                    self._put_out(slot)
            return
        later = [moment for moment in (waited, *over.values()) if moment > now]
        if later:
            self._timer = loop.call_at(min(later), self.look)

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
    def limit(self) -> int:
        """Bytes for all models together; 0 before the first one."""
        return self._ledger.limit if self._ledger is not None else 0

    @property
    def spare_fits(self) -> bool:
        """Whether there is room for a process without a model."""
        return self._ledger is None or self._ledger.spare_fits([slot.account for slot in self._with_memory()])


def residence_end(slot: Slot) -> float:
    """In the loop's time: from then on a busy model may have to go."""
    return slot.loaded_at_tick + max(RESIDENCE_SECONDS, LOADS_WORTH * slot.load_seconds)
