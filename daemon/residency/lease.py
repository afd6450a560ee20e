"""What a request holds of a model, and a loaded model as `ps` shows it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from .. import protocol
from .slot import Model, Slot

if TYPE_CHECKING:
    from ...store.store import Installed


class LeaseSource(Protocol):
    """Where leases come from and go back to."""

    async def acquire(self, installed: Installed, keep_alive: float | None) -> Model: ...
    def release(self, slot: Slot, seconds: float | None) -> None: ...


class Lease:
    """`async with residency.use(installed) as model`: the model stays in memory until the block ends."""

    def __init__(self, source: LeaseSource, installed: Installed, keep_alive: float | None) -> None:
        self._source = source
        self._installed = installed
        self._keep_alive = keep_alive
        self._slot: Slot | None = None
        self._began = time.monotonic()

    async def __aenter__(self) -> Model:
        model = await self._source.acquire(self._installed, self._keep_alive)
        self._slot = model.slot
        return model

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._slot is not None:
            self._source.release(self._slot, time.monotonic() - self._began)


@dataclass(frozen=True)
class Resident:
    """A loaded model as `ps` shows it. Times are Unix seconds, `expires_at` None is for ever; `memory_bytes` is what
    its process holds, `share_bytes` what it may hold. A `pinned` one stays whatever requests ask for."""

    name: str
    installed: Installed
    info: protocol.Loaded
    hello: protocol.Hello
    memory_bytes: int
    share_bytes: int
    loaded_at: float
    last_used: float
    expires_at: float | None
    running: int
    waiting: int
    pid: int
    gauges: protocol.Gauges
    pinned: bool = False

    @property
    def context_length(self) -> int:
        """Tokens of its context under this name, of what it was loaded with."""
        return min(self.info.context_length, self.installed.context_length(None) or self.info.context_length)


def resident(slot: Slot, max_batch: int) -> Resident:
    """A slot whose model is in, as it stands now; what waits is beyond the batch."""
    assert slot.loaded is not None and slot.hello is not None and slot.runner is not None
    running = min(slot.leases, max_batch)
    return Resident(
        name=slot.name,
        installed=slot.installed,
        info=slot.loaded,
        hello=slot.hello,
        memory_bytes=slot.holds,
        share_bytes=slot.share,
        loaded_at=slot.loaded_at,
        last_used=slot.last_used,
        expires_at=slot.expires_at,
        running=running,
        waiting=slot.leases - running,
        pid=slot.runner.pid,
        gauges=slot.runner.gauges,
        pinned=slot.pinned,
    )
