"""Who holds memory for caches: the batch, prompts under way, pictures, what is to be written, what is only kept."""

from __future__ import annotations

from ...vision.viewing import Views
from ..batch import Batch
from ..prefilling.prefills import Prefills
from ..reuse import Reuse
from .ledger import CacheLedger, Occupancy


class CacheMemory:
    """Those who run come first, then what is to be written; then pictures that nobody needs now, and prefixes."""

    def __init__(self, ledger: CacheLedger, batch: Batch, prefills: Prefills, views: Views, reuse: Reuse) -> None:
        self._ledger = ledger
        self._batch = batch
        self._prefills = prefills
        self._views = views
        self._reuse = reuse

    @property
    def occupancy(self) -> Occupancy:
        """Of those who run."""
        return Occupancy(self._batch.lengths, self._prefills.occupied)

    @property
    def room_for_copies(self) -> int | None:
        """Bytes that nobody who runs needs; what is only kept makes room. None: nothing is to be copied, or there is
        no limit."""
        if self._ledger.memory is None or not self._reuse.unwritten:
            return None
        return max(0, self._ledger.memory - self._views.held - self._ledger.needed(self.occupancy))

    def count(self) -> None:
        """Tell the ledger what is held beside the caches of those who run."""
        self._ledger.held = self._views.held + self._reuse.copied

    def bound_prefixes(self) -> None:
        """What was read before has what the others leave."""
        if self._ledger.memory is not None:
            self._reuse.limit(self._ledger.memory - self._ledger.held - self._ledger.needed(self.occupancy))

    def forget_pictures(self) -> bool:
        """Features that nobody needs now make room; whether there were any."""
        found = self._views.clear()
        self.count()
        return found

    def limit(self, memory: int) -> None:
        """So many bytes are for caches from now on."""
        self._ledger.memory = memory
        self._views.limit(memory)
