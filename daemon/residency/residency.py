"""Which models are in memory: loaded once for all requests, kept while used, unloaded after a time or to make room."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING

from .. import memory_pressure, store_threads
from ..errors import Draining, LoadError, QueueFull, RunnerDied
from ..keep_awake import KeepAwake
from ..memory_pressure import Level
from ..protocol import SERVED_KINDS, Kind
from ..workers.memory_gauge import FRESH_SECONDS
from ..workers.runner import Runner
from .admission import Admission
from .audit import Audit, count
from .backoff import Quarantine
from .budget import before_load, wired
from .lease import Lease, Queue, Resident, resident
from .loading import Loader
from .pressure import Pressure
from .resolve import Resolver
from .slot import Model, Slot
from .spare import Spare
from .tokenizers import Tokenizers

if TYPE_CHECKING:
    from ...store.store import Installed, Store
    from ..settings.schema import Settings
    from ..tasks.pulls import Pulls

LOG = logging.getLogger("mlx_serve.residency")


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
        self._slots: dict[str, Slot] = {}
        self._changed = asyncio.Event()
        self._keep_awake = keep_awake or KeepAwake()
        self._admission = Admission(lambda: self._slots.values(), self._begin_closing)
        self._pressure = Pressure(lambda: self._slots.values(), self._begin_closing, pressure)
        self._tasks: set[asyncio.Task[None]] = set()
        self._audit = Audit()
        self._loads = 0
        self._seconds = 1.0
        self._draining = False
        self.tokenizers = Tokenizers(settings, store, self._runner_of)

    def configure(self, settings: Settings) -> None:
        """Other settings from now on; models that are in memory stay as they were loaded, but for `renew`."""
        self._settings = settings
        self._resolver.configure(settings)
        self._loader.configure(settings)
        self.tokenizers.configure(settings)

    async def renew(self) -> list[Installed]:
        """Take over for the models in memory what the settings say now of their idle times and pins. Gives those that
        would be loaded with another context now."""
        installed = await store_threads.look(self._store.models)
        stale = []
        for slot in list(self._slots.values()):
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
            if not slot.leases and slot.settled:
                self._schedule_expiry(slot, since=slot.last_used)
        self._wake()
        return stale

    async def start(self) -> None:
        """Begin the warm spare."""
        self._spare.prepare()

    # leases

    async def find(self, name: str) -> Installed:
        """The installed model that a name stands for, pulled first where the settings allow it. Raises what
        `store.find` and a pull raise, QueueFull, Draining."""
        if self._draining:
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
        if self._draining:
            raise Draining
        began = time.monotonic()
        slot = await self._slot_of(installed)  # from here to the lease nothing is awaited
        self._check_queue(slot, slot.leases)
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

    def _check_queue(self, slot: Slot, count: int) -> None:
        if count >= self._settings.engine.max_batch + self._settings.server.max_queue:
            raise QueueFull(self._retry_after(slot))

    async def _slot_of(self, installed: Installed) -> Slot:
        """The slot of a model, a new one when there is none that lives."""
        base = installed.base
        while (slot := self._slots.get(base)) is not None and slot.closing is not None:
            self._check_queue(slot, slot.successors)
            slot.successors += 1
            try:
                await asyncio.wait([slot.closing])
            finally:
                slot.successors -= 1
        if self._draining:
            raise Draining
        if slot is not None and slot.runner is not None and not slot.runner.alive:
            self._lose(slot)
            slot = None
        if slot is None:
            self._loader.check(installed)
            slot = Slot(installed, self._settings.cache.ttl_seconds)
            self._slots[base] = slot
            self._pressure.watch()
            slot.loading = self._background(self._load(slot))
        return slot

    def release(self, slot: Slot, seconds: float | None) -> None:
        if seconds is not None:
            self._seconds += 0.1 * (seconds - self._seconds)
        slot.give_back()
        self._keep_awake.end()
        self._wake()
        if slot.leases == 0 and self._slots.get(slot.base) is slot and slot.settled:
            self._schedule_expiry(slot)

    def _retry_after(self, slot: Slot) -> int:
        """Seconds until a place is likely free: the queue's length at the pace of late requests."""
        ahead = max(1, slot.leases - self._settings.engine.max_batch)
        return max(1, min(60, math.ceil(ahead * self._seconds / self._settings.engine.max_batch)))

    # loading

    async def _load(self, slot: Slot) -> None:
        try:
            files = await self._loader.files(slot)  # first, so that a damaged model unloads no other
            ledger = await self._loader.ledger()
            slot.process = ledger.process
            slot.needs = before_load(slot.installed.size, ledger.process)
            await self.measure()
            await self._admission.admit(slot, ledger)
            others = [one.wired for one in self._slots.values() if one is not slot]
            slot.wired = wired(self._loader.wired_bound(ledger, slot.installed.size), slot.installed.size, others)
            await self._loader.load(slot, files)
        except BaseException as error:
            await self._load_failed(slot, error)
            return
        self._background(self._watch(slot))
        slot.ready.set_result(None)
        self._admission.share_out()
        self._wake()
        self._prepare_spare()
        if slot.leases == 0:
            self._schedule_expiry(slot)

    async def _load_failed(self, slot: Slot, error: BaseException) -> None:
        if isinstance(error, RunnerDied):  # before there was a process for this model
            error = LoadError(slot.name, f"no process can be started for it ({error.reason})")
        if isinstance(error, asyncio.CancelledError) and not self._draining:
            error = LoadError(slot.name, "it was unloaded while it was loading", retry_after=1)
        LOG.error("fail load name=%s reason=%s", slot.name, error)
        self._discard(slot)
        slot.ready.set_exception(error if isinstance(error, Exception) else Draining())
        slot.ready.exception()
        if slot.runner is not None:
            await slot.runner.close()
            self._prepare_spare()
        if not isinstance(error, Exception):
            raise error

    def _prepare_spare(self) -> None:
        if self._admission.spare_fits and self.pressure != "critical":
            self._spare.prepare()

    # leaving

    def _schedule_expiry(self, slot: Slot, since: float | None = None) -> None:
        """`since`: a time in Unix seconds, None: now."""
        slot.cancel_timer()
        if slot.ttl < 0:
            slot.expires_at = None
            return
        now = time.time()
        seconds = slot.ttl if since is None else max(0.0, since + slot.ttl - now)
        slot.expires_at = now + seconds
        slot.timer = asyncio.get_running_loop().call_later(seconds, self._expire, slot)

    def _expire(self, slot: Slot) -> None:
        if slot.leases == 0 and self._slots.get(slot.base) is slot:
            self._begin_closing(slot)

    async def unload(self, installed: Installed) -> bool:
        """Unload a model after its requests; returns when its memory is free. One that is still loading goes at once,
        and whoever waits for it is told. False when it was not loaded. The model may have no name any more."""
        await self.tokenizers.end(installed.base)
        slot = self._slots.get(installed.base)
        if slot is None:
            return False
        await self._unload(slot)
        return True

    def forget(self, installed: Installed) -> None:
        """The model is gone: how it has failed does not matter any more, also where the same one comes back."""
        self._loader.failures.forget(installed.base)

    def _begin_closing(self, slot: Slot) -> asyncio.Task[None]:
        """From now on there are no new leases on it."""
        if slot.closing is None:
            slot.closing = asyncio.create_task(self._close_slot(slot))
            if slot.loading is not None and not slot.ready.done():
                slot.loading.cancel()
        return slot.closing

    async def _unload(self, slot: Slot) -> None:
        closing = self._begin_closing(slot)
        await asyncio.wait([closing])
        if not closing.cancelled():
            closing.result()

    async def _close_slot(self, slot: Slot) -> None:
        slot.cancel_timer()
        if slot.loading is not None:
            await asyncio.wait([slot.loading])  # whoever waits for a failed load is told there
        if not slot.ready.done():  # it had not begun
            await self._load_failed(slot, asyncio.CancelledError())
        await slot.idle.wait()
        if slot.runner is not None:
            await slot.runner.close()
            LOG.info("unload model name=%s", slot.name)
        self._discard(slot)

    def _discard(self, slot: Slot) -> None:
        """Forget a slot whose process is gone; requests that are still in it end by themselves."""
        slot.cancel_timer()
        if self._slots.get(slot.base) is slot:
            del self._slots[slot.base]
        self._admission.share_out()
        self._prepare_spare()
        self._wake()

    async def _watch(self, slot: Slot) -> None:
        assert slot.runner is not None
        await slot.runner.dead.wait()
        self._lose(slot)

    def _lose(self, slot: Slot) -> None:
        """Its process is gone: by itself, or because it was closed. Called for each slot once or twice."""
        if slot.runner is not None and not slot.runner.quitting and not slot.lost:
            slot.lost = True
            self._loader.failures.died(slot.base, slot.name, slot.runner.death, loading=False)
        self._discard(slot)

    async def close(self, drain_seconds: float = 0.0) -> None:
        """Take no new work, wait for running requests, then end every child."""
        self._draining = True
        self._pressure.close()
        deadline = time.monotonic() + drain_seconds
        while any(slot.leases for slot in self._slots.values()) and time.monotonic() < deadline:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), deadline - time.monotonic())
        slots = list(self._slots.values())
        runners = [slot.runner for slot in slots if slot.runner is not None]
        for slot in slots:
            slot.cancel_timer()
        self._slots.clear()
        tasks = [*self._tasks, *(slot.closing for slot in slots if slot.closing)]
        for task in tasks:
            task.cancel()
        ends = [self.tokenizers.close(), self._spare.close(), *(runner.close() for runner in runners)]
        await asyncio.gather(*ends, *tasks, return_exceptions=True)
        for slot in slots:
            if not slot.ready.done():
                slot.ready.set_exception(Draining())
                slot.ready.exception()

    # looking

    def resident(self) -> list[Resident]:
        """The models in memory, last used first."""
        ready = [slot for slot in self._slots.values() if slot.loaded is not None]
        return [
            resident(slot, self._settings.engine.max_batch) for slot in sorted(ready, key=lambda slot: -slot.last_used)
        ]

    async def measure(self) -> None:
        """Ask the system what each model's process holds, unless that was asked a second ago."""
        runners = [slot.runner for slot in self._slots.values() if slot.runner is not None]
        await asyncio.gather(*(runner.measure(FRESH_SECONDS) for runner in runners))

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
        return self._pressure.level

    @property
    def memory_limit(self) -> int:
        """Bytes for all models together; 0 before the first one was loaded."""
        return self._admission.limit

    @property
    def in_use(self) -> set[str]:
        """Manifests (hex) whose files a child may read now, whatever their names have become."""
        return {slot.installed.digest for slot in self._slots.values()} | self.tokenizers.in_use

    def audit(self) -> None:
        """Whoever knows that no request is open calls this: a count that is not nothing then is logged, once."""
        self._audit.check(count(self._slots.values(), self._loads, self._admission.limit))

    def _runner_of(self, base: str) -> Runner | None:
        """The process of a model that is in memory and stays."""
        slot = self._slots.get(base)
        there = slot is not None and slot.loaded is not None and slot.settled and slot.runner is not None
        return slot.runner if slot is not None and there and not slot.lost else None

    @property
    def queue(self) -> Queue:
        leases = sum(slot.leases for slot in self._slots.values())
        running = sum(min(slot.leases, self._settings.engine.max_batch) for slot in self._slots.values())
        successors = sum(slot.successors for slot in self._slots.values())
        return Queue(running, leases - running + successors, self._settings.server.max_queue)

    def _wake(self) -> None:
        self._changed.set()
        self._admission.look()

    def _background(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
