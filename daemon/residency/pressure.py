"""What models give back when the machine runs out of memory: first what they only keep for later, then those that are
idle go. A model that is in use, or pinned, is never ended for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from .. import memory_pressure
from ..memory_pressure import Level
from .slot import Slot

LOG = logging.getLogger("mlx_serve.residency")

SECONDS = 5.0


class Pressure:
    """Looks every SECONDS while there are models or the last look was not good; an idle daemon does not wake up.

    `slots` gives the slots of all models, `put_out` begins to unload one, `read` asks the system.
    """

    def __init__(
        self,
        slots: Callable[[], Iterable[Slot]],
        put_out: Callable[[Slot], object],
        read: Callable[[], Level] = memory_pressure.level,
    ) -> None:
        self._slots = slots
        self._put_out = put_out
        self._read = read
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.level: Level = "normal"

    def watch(self) -> None:
        """There is a model now."""
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        self._note(self._read())
        slots = list(self._slots())
        for slot in slots:
            slot.tighten(self.level != "normal")
        critical = self.level == "critical"
        idle = [slot for slot in slots if critical and slot.settled and not slot.leases and not slot.pinned]
        for slot in idle:
            LOG.warning("unload idle model name=%s reason=memory pressure", slot.name)
            self._put_out(slot)
        if slots or self.level != "normal":
            self.watch()

    def _note(self, level: Level) -> None:
        if level != self.level:
            log = LOG.info if level == "normal" else LOG.warning
            log("change memory pressure level=%s before=%s", level, self.level)
            self.level = level

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
