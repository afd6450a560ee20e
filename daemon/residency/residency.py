"""Which models are in memory: loaded once for all requests, kept while used, unloaded after a time or to make room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from .. import memory_pressure, store_threads
from ..errors import Draining
from ..keep_awake import KeepAwake
from ..memory_pressure import Level
from ..protocol import SERVED_KINDS, Kind
from ..workers.runner import Runner
from .audit import Audit, count
from .backoff import Quarantine
from .lease import Lease, Resident, resident
from .loading import Loader
from .request_queue import Queue, RequestQueue
from .resolve import Resolver
from .slot import Model, Slot
from .slots import Slots
from .spare import Spare
from .tokenizers import Tokenizers

if TYPE_CHECKING:
    from ...store.store import Installed, Store
    from ..settings.schema import Settings
    from ..tasks.pulls import Pulls


class Residency:
    """Everything here runs on the event loop; no state is shared with a thread."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        spare: Spare | None = None,
        *,
        pulls: Pulls | None = None,
        served: Collection[Kind] = SERVED_KINDS,
        keep_awake: KeepAwake | None = None,
        pressure: Callable[[], Level] = memory_pressure.level,
    ) -> None:
        self._settings = settings
        self._store = store
        self._resolver = Resolver(settings, store, pulls)
        self._spare = spare or Spare(partial(Runner.spawn, cache=settings.home / "cache"))
        self._loader = Loader(settings, store, self._spare, served)
        self._slots = Slots(self._loader, self._spare, pressure)
        self._queue = RequestQueue(settings)
        self._keep_awake = keep_awake or KeepAwake()
        self._audit = Audit()
        self._loads = 0
        self.tokenizers = Tokenizers(settings, store, self._slots.runner_of)

    def configure(self, settings: Settings) -> None:
        """Other settings from now on; models that are in memory stay as they were loaded, but for `renew`."""
        self._settings = settings
        self._resolver.configure(settings)
        self._loader.configure(settings)
        self._queue.configure(settings)
        self.tokenizers.configure(settings)

    async def renew(self) -> list[Installed]:
        """Take over for the models in memory what the settings say now of their idle times and pins. Gives those that
        would be loaded with another context now."""
        installed = await store_threads.look(self._store.models)
        stale = []
        for slot in self._slots:
            named = [model for model in installed if model.base == slot.base]
            same = [
                model for model in named if (model.name, model.digest) == (slot.installed.name, slot.installed.digest)
            ]
            slot.usual, slot.pinned = self._settings.cache.ttl_seconds, False
            for model in (*named, *same):  # its own name last
                slot.follow(model)
            if same:
                slot.installed = same[0]
            limit = slot.installed.loaded_context(self._settings.engine.context_length)
            if slot.loaded is not None and slot.context_limit != limit:
                stale.append(slot.installed)
            self._slots.rest(slot, since=slot.last_used)
        self._slots.wake()
        return stale

    async def start(self) -> None:
        """Begin the warm spare."""
        self._spare.prepare()

    # leases

    async def find(self, name: str) -> Installed:
        """The installed model that a name stands for, pulled first where the settings allow it. Raises what
        `store.find` and a pull raise, QueueFull, Draining."""
        if self._slots.draining:
            raise Draining
        return await self._resolver.find(name)

    def use(self, installed: Installed, *, keep_alive: float | None = None) -> Lease:
        """A lease on a model, loaded when it is not in memory. `keep_alive`: seconds to stay after the last use,
        negative for ever, 0 out at once, None as configured. Entering raises QueueFull, Draining, LoadError,
        InsufficientMemory, RunnerDied."""
        return Lease(self, installed, keep_alive)

    async def load(self, installed: Installed, *, keep_alive: float | None = None) -> Resident:
        """Load a model, and keep it for its idle time. Being explicit, it also ends a quarantine."""
        self._loader.failures.forget(installed.base)
        self._loads += 1
        try:
            async with self.use(installed, keep_alive=keep_alive) as model:
                return resident(model.slot, self._settings.engine.max_batch)
        finally:
            self._loads -= 1

    async def acquire(self, installed: Installed, keep_alive: float | None) -> Model:
        if self._slots.draining:
            raise Draining
        began = time.monotonic()
        slot = await self._slot_of(installed)  # from here to the lease nothing is awaited
        self._queue.check(slot, slot.leases)
        slot.follow(installed)
        slot.take(keep_alive)
        self._keep_awake.begin()
        try:
            waits = not slot.ready.done()
            await asyncio.shield(slot.ready)
        except BaseException:
            self.release(slot, None)
            raise
        return Model(slot, installed, time.monotonic() - began if waits else 0.0)

    async def _slot_of(self, installed: Installed) -> Slot:
        """The slot of a model, a new one when there is none that lives."""
        while (slot := self._slots.of(installed.base)) is not None and slot.closing is not None:
            self._queue.check(slot, slot.successors)
            slot.successors += 1
            try:
                await asyncio.wait([slot.closing])
            finally:
                slot.successors -= 1
        if self._slots.draining:
            raise Draining
        return self._slots.living(installed, self._settings.cache.ttl_seconds)

    def release(self, slot: Slot, seconds: float | None) -> None:
        if seconds is not None:
            self._queue.finished(seconds)
        slot.give_back()
        self._keep_awake.end()
        self._slots.wake()
        self._slots.rest(slot)

    # leaving

    async def unload(self, installed: Installed) -> bool:
        """Unload a model after its requests; returns when its memory is free. One that is still loading goes at once,
        and whoever waits for it is told. False when it was not loaded. The model may have no name any more."""
        await self.tokenizers.end(installed.base)
        slot = self._slots.of(installed.base)
        if slot is None:
            return False
        closing = self._slots.close(slot)
        await asyncio.wait([closing])
        if not closing.cancelled():
            closing.result()
        return True

    def forget(self, installed: Installed) -> None:
        """The model is gone: how it has failed does not matter any more, also where the same one comes back."""
        self._loader.failures.forget(installed.base)

    async def close(self, drain_seconds: float = 0.0) -> None:
        """Take no new work, wait for running requests, then end every child."""
        await self._slots.drain(drain_seconds)
        await asyncio.gather(self._slots.end(), self.tokenizers.close(), return_exceptions=True)

    # looking

    def resident(self) -> list[Resident]:
        """The models in memory, last used first."""
        ready = [slot for slot in self._slots if slot.loaded is not None]
        return [
            resident(slot, self._settings.engine.max_batch) for slot in sorted(ready, key=lambda slot: -slot.last_used)
        ]

    async def measure(self) -> None:
        """Ask the system what each model's process holds, unless that was asked a second ago."""
        await self._slots.measure()

    def quarantined(self) -> list[Quarantine]:
        """The models that are not loaded now, because their processes died too often."""
        return self._loader.failures.quarantined()

    @property
    def deaths(self) -> Mapping[str, int]:
        """How often each model's process has died, by the model's name."""
        return self._loader.failures.deaths

    @property
    def restarts(self) -> Mapping[str, int]:
        """How often each model was loaded again after its process had died, by the model's name."""
        return self._loader.failures.restarts

    @property
    def pressure(self) -> Level:
        """How short of memory the machine was at the last look; it is looked at while there are models."""
        return self._slots.pressure

    @property
    def memory_limit(self) -> int:
        """Bytes for all models together; 0 before the first one was loaded."""
        return self._slots.memory_limit

    @property
    def in_use(self) -> set[str]:
        """Manifests (hex) whose files a child may read now, whatever their names have become."""
        return {slot.installed.digest for slot in self._slots} | self.tokenizers.in_use

    def audit(self) -> None:
        """Whoever knows that no request is open calls this: a count that is not nothing then is logged, once."""
        self._audit.check(count(self._slots, self._loads, self._slots.memory_limit))

    @property
    def queue(self) -> Queue:
        return self._queue.of(self._slots)
