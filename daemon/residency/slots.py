"""The slots of all models: how each model comes into memory, rests, and leaves it.

It knows nothing of names, nor of how many requests may wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING

from ..errors import Draining, LoadError, RunnerDied
from ..memory_pressure import Level
from ..workers.memory_gauge import FRESH_SECONDS
from ..workers.runner import Runner
from .admission import Admission
from .budget import before_load, wired
from .loading import Loader
from .pressure import Pressure
from .slot import Slot
from .spare import Spare

if TYPE_CHECKING:
    from ...store.store import Installed

LOG = logging.getLogger("mlx_serve.residency")

SPARE_SECONDS = 10.0
"""A first prompt has the processor to itself for so long; the next process's imports would take a core from it."""


class Slots:
    """One for each model that is in memory, or on its way there or out. `draining`: no new ones are to come."""

    def __init__(self, loader: Loader, spare: Spare, pressure: Callable[[], Level]) -> None:
        self._loader = loader
        self._spare = spare
        self._by_base: dict[str, Slot] = {}
        self._admission = Admission(self._by_base.values, self.close)
        self._pressure = Pressure(self._by_base.values, self.close, pressure)
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.draining = False

    def __iter__(self) -> Iterator[Slot]:
        return iter(list(self._by_base.values()))

    def of(self, base: str) -> Slot | None:
        """The slot of a model; its process may have died."""
        return self._by_base.get(base)

    def living(self, installed: Installed, usual: float) -> Slot:
        """The slot of a model; a new one, which begins to load, where there is none whose process lives. `usual`: as
        Slot's. Raises what `Loader.check` raises."""
        slot = self._by_base.get(installed.base)
        if slot is not None and slot.runner is not None and not slot.runner.alive:
            self._lose(slot)
            slot = None
        if slot is None:
            self._loader.check(installed)
            slot = Slot(installed, usual)
            self._by_base[installed.base] = slot
            self._pressure.watch()
            slot.loading = self._background(self._load(slot))
        return slot

    def wake(self) -> None:
        """Something has changed that others may wait for."""
        self._changed.set()
        self._admission.look()

    # loading

    async def _load(self, slot: Slot) -> None:
        try:
            files = await self._loader.files(slot)  # first, so that a damaged model unloads no other
            ledger = await self._loader.ledger()
            slot.process = ledger.process
            slot.needs = before_load(slot.installed.size, ledger.process)
            await self.measure()
            await self._admission.admit(slot, ledger)
            others = [one.wired for one in self if one is not slot]
            slot.wired = wired(self._loader.wired_bound(ledger, slot.installed.size), slot.installed.size, others)
            await self._loader.load(slot, files)
        except BaseException as error:
            await self._load_failed(slot, error)
            return
        self._background(self._watch(slot))
        slot.ready.set_result(None)
        self._admission.share_out()
        self.wake()
        self._background(self._prepare_later(slot, slot.runner))
        self.rest(slot)

    async def _prepare_later(self, slot: Slot, runner: Runner | None) -> None:
        """A process for the next model, when those for whom this one was loaded have a first token, or are gone."""
        if runner is not None:
            events = [asyncio.create_task(event.wait()) for event in (runner.answered, slot.idle, runner.dead)]
            try:
                await asyncio.wait(events, timeout=SPARE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for event in events:
                    event.cancel()
        self.prepare_spare()

    async def _load_failed(self, slot: Slot, error: BaseException) -> None:
        if isinstance(error, RunnerDied):  # before there was a process for this model
            error = LoadError(slot.name, f"no process can be started for it ({error.reason})")
        if isinstance(error, asyncio.CancelledError) and not self.draining:
            error = LoadError(slot.name, "it was unloaded while it was loading", retry_after=1)
        LOG.error("fail load name=%s reason=%s", slot.name, error)
        self._discard(slot)
        slot.ready.set_exception(error if isinstance(error, Exception) else Draining())
        slot.ready.exception()
        if slot.runner is not None:
            await slot.runner.close()
            self.prepare_spare()
        if not isinstance(error, Exception):
            raise error

    def prepare_spare(self) -> None:
        """A process for the next model, where there is room for one and there will be one."""
        if self.draining:
            return
        if self._admission.spare_fits and self.pressure != "critical":
            self._spare.prepare()

    # leaving

    def rest(self, slot: Slot, since: float | None = None) -> None:
        """Where nobody uses a model, it stays for its idle time from now on, or `since` a time in Unix seconds."""
        if slot.leases or not slot.settled or self._by_base.get(slot.base) is not slot:
            return
        slot.cancel_timer()
        if slot.ttl < 0:
            slot.expires_at = None
            return
        now = time.time()
        seconds = slot.ttl if since is None else max(0.0, since + slot.ttl - now)
        slot.expires_at = now + seconds
        slot.timer = asyncio.get_running_loop().call_later(seconds, self._expire, slot)

    def _expire(self, slot: Slot) -> None:
        if slot.leases == 0 and self._by_base.get(slot.base) is slot:
            self.close(slot)

    def close(self, slot: Slot) -> asyncio.Task[None]:
        """Unload a model after its requests, one that is still loading at once; from now on there are no new leases on
        it. The task is done when its memory is free."""
        if slot.closing is None:
            slot.closing = asyncio.create_task(self._close(slot))
            if slot.loading is not None and not slot.ready.done():
                slot.loading.cancel()
        return slot.closing

    async def _close(self, slot: Slot) -> None:
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
        if self._by_base.get(slot.base) is slot:
            del self._by_base[slot.base]
        self._admission.share_out()
        self.prepare_spare()
        self.wake()

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

    async def drain(self, seconds: float) -> None:
        """Returns when no model is used any more, or after so long."""
        self.draining = True
        self._pressure.close()
        deadline = time.monotonic() + seconds
        while any(slot.leases for slot in self) and time.monotonic() < deadline:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), deadline - time.monotonic())

    async def end(self) -> None:
        """End every child, the spare one too, and tell those who wait for a load."""
        slots = list(self)
        runners = [slot.runner for slot in slots if slot.runner is not None]
        for slot in slots:
            slot.cancel_timer()
        self._by_base.clear()
        tasks = [*self._tasks, *(slot.closing for slot in slots if slot.closing)]
        for task in tasks:
            task.cancel()
        ends = [self._spare.close(), *(runner.close() for runner in runners)]
        await asyncio.gather(*ends, *tasks, return_exceptions=True)
        for slot in slots:
            if not slot.ready.done():
                slot.ready.set_exception(Draining())
                slot.ready.exception()

    # looking

    async def measure(self) -> None:
        """Ask the system what each model's process holds, unless that was asked a second ago."""
        runners = [slot.runner for slot in self if slot.runner is not None]
        await asyncio.gather(*(runner.measure(FRESH_SECONDS) for runner in runners))

    def runner_of(self, base: str) -> Runner | None:
        """The process of a model that is in memory and stays."""
        slot = self._by_base.get(base)
        there = slot is not None and slot.loaded is not None and slot.settled and slot.runner is not None
        return slot.runner if slot is not None and there and not slot.lost else None

    @property
    def pressure(self) -> Level:
        """How short of memory the machine was at the last look; it is looked at while there are models."""
        return self._pressure.level

    @property
    def memory_limit(self) -> int:
        """Bytes for all models together; 0 before the first one was loaded."""
        return self._admission.limit

    def _background(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
