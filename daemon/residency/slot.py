"""One model in memory or on its way there, and what a lease gives of it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from .. import protocol
from ..errors import RunnerDied
from ..workers.runner import EventSink, Runner
from .budget import Account, held

if TYPE_CHECKING:
    from ...store.store import Installed


class Slot:
    """`ready` is done when the model is in, or failed with the reason. `usual` and `asked` are the seconds that it
    stays idle by the settings and by what requests have asked for, negative for ever; a `pinned` one stays whatever
    they say. `loaded_at_tick` in the loop's time. `leases` counts who uses it or waits for it, `successors` who wait
    until it is gone and want it again. `lost`: its process died by itself.

    In bytes: `needs` is what it cannot do without, `share` what it may take (0: it waits for room), `process` what its
    process takes beside what MLX holds, `told` what MLX was told it may hold, `wired` what Metal keeps resident.
    `tight`: its process keeps nothing for later. `context_limit`: tokens that it was told to take at most.
    """

    def __init__(self, installed: Installed, usual: float) -> None:
        self.installed = installed
        self.name = str(installed.name.display())
        self.base = installed.base
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.idle = asyncio.Event()
        self.idle.set()
        self.runner: Runner | None = None
        self.hello: protocol.Hello | None = None
        self.loaded: protocol.Loaded | None = None
        self.needs = self.share = self.process = self.told = self.wired = 0
        self.tight = False
        self.leases = self.successors = 0
        self.usual = usual
        self.asked: float | None = None
        self.pinned = False
        self.context_limit: int | None = None
        self.loaded_at = 0.0
        self.load_seconds = self.loaded_at_tick = 0.0
        self.last_used = time.time()
        self.expires_at: float | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.loading: asyncio.Task[None] | None = None
        self.closing: asyncio.Task[None] | None = None
        self.lost = False

    @property
    def kind(self) -> protocol.Kind:
        return self.installed.manifest.kind

    @property
    def ttl(self) -> float:
        """Seconds that it stays after its last use, negative for ever."""
        if self.pinned:
            return -1.0
        return self.usual if self.asked is None else self.asked

    @property
    def settled(self) -> bool:
        """In memory, or failed, and not on its way out."""
        return self.ready.done() and self.closing is None

    @property
    def holds(self) -> int:
        """Bytes that its process holds now, as far as they can be known."""
        if self.runner is None or self.loaded is None or self.hello is None:
            return 0
        gauges = self.runner.gauges
        tensors = max(self.loaded.weight_bytes, gauges.active_memory + gauges.cache_memory)
        return held(self.hello.backend, self.runner.resident_bytes, self.process, tensors)

    @property
    def account(self) -> Account:
        """Its line in the ledger. Half precision may be widened during the load, to half of the share."""
        return Account(
            key=self.base,
            name=self.name,
            kind=self.kind,
            needs=self.needs if self.loaded is not None else max(self.needs, self.process + self.told // 2),
            holds=self.holds,
            last_used=self.last_used,
            idle=self.leases == 0,
            settled=self.ready.done(),
            closing=self.closing is not None,
            pinned=self.pinned,
        )

    def take_share(self, share: int) -> None:
        """The first one goes with Load, later ones to a process that has its model."""
        self.share = share
        memory = max(0, share - self.process)
        if not self.told:
            self.told = memory
        elif self.loaded is not None and self.runner is not None and self.told != memory:
            self.told = memory
            self.runner.limit(memory, tight=self.tight)

    def tighten(self, tight: bool) -> None:
        """Have its process keep nothing for later, or let it again; when it has its model."""
        if self.tight != tight and self.loaded is not None and self.runner is not None:
            self.tight = tight
            self.runner.limit(self.told, tight=tight)

    def follow(self, installed: Installed) -> None:
        """It is used under this name, of which the settings may say something."""
        if installed.defaults.keep_alive is not None:
            self.usual = installed.defaults.keep_alive
        self.pinned = self.pinned or installed.defaults.pinned

    def take(self, keep_alive: float | None) -> None:
        self.leases += 1
        self.idle.clear()
        self.last_used = time.time()
        self.cancel_timer()
        if keep_alive is not None:
            self.asked = keep_alive
        self.expires_at = None if self.ttl < 0 else self.last_used + self.ttl

    def give_back(self) -> None:
        self.leases -= 1
        self.last_used = time.time()
        if self.leases == 0:
            self.idle.set()

    def cancel_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Model:
    """A loaded model for as long as the lease lasts, under the name it was asked for: models that differ in
    settings only share one slot. `load_seconds` is what this request waited for the load."""

    def __init__(self, slot: Slot, installed: Installed, load_seconds: float) -> None:
        self.slot = slot
        self.installed = installed
        self.load_seconds = load_seconds

    @property
    def info(self) -> protocol.Loaded:
        if self.slot.loaded is None:
            raise RunnerDied(self.slot.name, "it is not loaded")
        return self.slot.loaded

    @property
    def context_length(self) -> int:
        """Tokens of its context under this name."""
        return min(self.info.context_length, self.installed.context_length(None) or self.info.context_length)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the listings say of it, as far as its engine can do that too; where it was created with a chat template,
        the engine does what that one says."""
        if self.installed.manifest.overrides.template is not None:
            return self.installed.manifest.capabilities
        return tuple(each for each in self.installed.manifest.capabilities if each in self.info.capabilities)

    @property
    def _runner(self) -> Runner:
        if self.slot.runner is None:
            raise RunnerDied(self.slot.name, "it is not loaded")
        return self.slot.runner

    def submit(self, work: protocol.Work, sink: EventSink) -> int:
        """Hand work to the model's process; gives the id for `cancel`. Raises RequestRejected, RunnerDied."""
        return self._runner.submit(work, sink)

    def cancel(self, number: int) -> None:
        """No further event of this work reaches its sink."""
        self._runner.cancel(number)
