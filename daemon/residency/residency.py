"""Which models are in memory: loaded once for all who ask, kept while used, put out by time or for want of room."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING

from .. import store_threads
from ..errors import Draining, LoadError, QueueFull, RunnerDied
from ..workers.runner import Runner
from .lease import Lease, Queue, Resident
from .loading import Loader
from .resolve import Finder
from .room import Room
from .slot import Entry, Model
from .spare import Spare

if TYPE_CHECKING:
    from ...store.store import Installed, Store
    from ..settings.schema import Settings
    from ..tasks.pulls import Pulls

LOG = logging.getLogger("mlx_serve.residency")


class Residency:
    """Everything here runs on the event loop; no state is shared with a thread."""

    def __init__(
        self, settings: Settings, store: Store, spare: Spare | None = None, *, pulls: Pulls | None = None
    ) -> None:
        self._settings = settings
        self._store = store
        self._finder = Finder(settings, store, pulls)
        self._spare = spare or Spare(partial(Runner.spawn, cache=settings.home / "cache"))
        self._loader = Loader(settings, store, self._spare)
        self._entries: dict[str, Entry] = {}
        self._changed = asyncio.Event()
        self._planning = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._seconds = 1.0
        self._draining = False

    async def start(self) -> None:
        """Begin the warm spare."""
        self._spare.prepare()

    # leases

    def use(self, name: str, *, keep_alive: float | None = None) -> Lease:
        """A lease on a model, loaded when it is not in memory. `keep_alive`: seconds to stay after the last use,
        negative for ever, 0 out at once, None as configured. Entering raises what `store.find` raises, QueueFull,
        Draining, LoadError, InsufficientMemory, RunnerDied."""
        return Lease(self, name, keep_alive)

    async def load(self, name: str, *, keep_alive: float | None = None) -> Resident:
        """Bring a model in and let it stay for its time."""
        async with self.use(name, keep_alive=keep_alive) as model:
            return self._snapshot(model.entry)

    async def acquire(self, name: str, keep_alive: float | None) -> Model:
        if self._draining:
            raise Draining
        installed = await self._finder.find(name)
        began = time.monotonic()
        entry = await self._entry(installed)  # from here to the lease nothing is awaited
        if entry.leases >= self._settings.engine.max_batch + self._settings.server.max_queue:
            raise QueueFull(self._retry_after(entry))
        entry.take(keep_alive)
        try:
            waits = not entry.ready.done()
            await asyncio.shield(entry.ready)
        except BaseException:
            self.release(entry, None)
            raise
        return Model(entry, installed, time.monotonic() - began if waits else 0.0)

    async def _entry(self, installed: Installed) -> Entry:
        """The entry of a model, a new one when there is none that lives."""
        base = installed.base
        while (entry := self._entries.get(base)) is not None and entry.closing is not None:
            await asyncio.wait([entry.closing])
        if self._draining:
            raise Draining
        if entry is not None and entry.runner is not None and not entry.runner.alive:
            self._discard(entry)
            entry = None
        if entry is None:
            self._loader.check(installed)
            entry = Entry(installed, self._settings.cache.ttl_seconds)
            self._entries[base] = entry
            self._background(self._load(entry))
        return entry

    def release(self, entry: Entry, seconds: float | None) -> None:
        if seconds is not None:
            self._seconds += 0.1 * (seconds - self._seconds)
        entry.give_back()
        self._wake()
        if entry.leases == 0 and self._entries.get(entry.base) is entry and entry.settled:
            self._schedule_expiry(entry)

    def _retry_after(self, entry: Entry) -> int:
        """Seconds until a place is likely free: the queue's length at the pace of late requests."""
        ahead = max(1, entry.leases - self._settings.engine.max_batch)
        return max(1, min(60, math.ceil(ahead * self._seconds / self._settings.engine.max_batch)))

    # loading

    async def _load(self, entry: Entry) -> None:
        try:
            files = await self._loader.files(entry)  # first: damage puts nobody out
            memory = await self._make_room(entry)
            await self._loader.load(entry, files, memory)
        except BaseException as error:
            await self._load_failed(entry, error)
            return
        self._background(self._mourn(entry))
        entry.ready.set_result(None)
        if entry.leases == 0:
            self._schedule_expiry(entry)

    async def _load_failed(self, entry: Entry, error: BaseException) -> None:
        if isinstance(error, RunnerDied):  # before there was a process for this model
            error = LoadError(entry.name, f"no process can be started for it ({error.reason})")
        LOG.error("fail load name=%s reason=%s", entry.name, error)
        self._discard(entry)
        entry.ready.set_exception(error if isinstance(error, Exception) else Draining())
        entry.ready.exception()
        if entry.runner is not None:
            await entry.runner.close()
        if not isinstance(error, Exception):
            raise error

    async def _make_room(self, entry: Entry) -> int:
        """Reserve the model's memory, putting idle models out, oldest use first; gives its share of all in bytes.
        Raises InsufficientMemory, RunnerDied."""
        limit = await self._loader.limit()
        while True:
            async with self._planning:  # one at a time puts models out; who waits for busy ones holds nobody up
                while True:
                    self._changed.clear()
                    room = Room(entry, self._entries.values(), limit, self._settings.cache)
                    room.check()
                    if room.fits:
                        entry.reserved = room.wanted
                        return limit - room.used
                    victim = room.victim()
                    if victim is None:
                        break
                    await self._put_out(victim)
            await self._changed.wait()

    # leaving

    def _schedule_expiry(self, entry: Entry) -> None:
        entry.cancel_timer()
        if entry.ttl < 0:
            entry.expires_at = None
            return
        entry.expires_at = time.time() + entry.ttl
        entry.timer = asyncio.get_running_loop().call_later(entry.ttl, self._expire, entry)

    def _expire(self, entry: Entry) -> None:
        if entry.leases == 0 and self._entries.get(entry.base) is entry:
            self._begin_closing(entry)

    async def unload(self, name: str) -> bool:
        """Put a model out, after its requests; returns when its memory is free. False when it was not in."""
        installed = await store_threads.look(self._store.find, name)
        return await self.put_out(installed)

    async def put_out(self, installed: Installed) -> bool:
        """As `unload`, for a model that may have no name any more."""
        entry = self._entries.get(installed.base)
        if entry is None:
            return False
        await self._put_out(entry)
        return True

    def _begin_closing(self, entry: Entry) -> asyncio.Task[None]:
        """From now on nobody gets a lease on it."""
        if entry.closing is None:
            entry.closing = asyncio.create_task(self._close_entry(entry))
        return entry.closing

    async def _put_out(self, entry: Entry) -> None:
        closing = self._begin_closing(entry)
        await asyncio.wait([closing])
        if not closing.cancelled():
            closing.result()

    async def _close_entry(self, entry: Entry) -> None:
        entry.cancel_timer()
        await entry.idle.wait()
        with contextlib.suppress(Exception):  # whoever waits for a failed load is told there
            await asyncio.shield(entry.ready)
        if entry.runner is not None:
            await entry.runner.close()
            LOG.info("unload model name=%s", entry.name)
        self._discard(entry)

    def _discard(self, entry: Entry) -> None:
        """Forget an entry whose process is gone; requests that are still in it end by themselves."""
        entry.cancel_timer()
        if self._entries.get(entry.base) is entry:
            del self._entries[entry.base]
        self._wake()

    async def _mourn(self, entry: Entry) -> None:
        assert entry.runner is not None
        await entry.runner.dead.wait()
        self._discard(entry)

    async def close(self, drain_seconds: float = 0.0) -> None:
        """Take no new work, wait for running requests, then end every child."""
        self._draining = True
        deadline = time.monotonic() + drain_seconds
        while any(entry.leases for entry in self._entries.values()) and time.monotonic() < deadline:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), deadline - time.monotonic())
        entries = list(self._entries.values())
        runners = [entry.runner for entry in entries if entry.runner is not None]
        for entry in entries:
            entry.cancel_timer()
        self._entries.clear()
        tasks = [*self._tasks, *(entry.closing for entry in entries if entry.closing)]
        for task in tasks:
            task.cancel()
        ends = [self._spare.close(), *(runner.close() for runner in runners)]
        await asyncio.gather(*ends, *tasks, return_exceptions=True)

    # looking

    def resident(self) -> list[Resident]:
        """The models in memory, last used first."""
        ready = [entry for entry in self._entries.values() if entry.loaded is not None]
        return [self._snapshot(entry) for entry in sorted(ready, key=lambda entry: -entry.last_used)]

    @property
    def in_use(self) -> set[str]:
        """Manifests (hex) whose files a child may read now, whatever their names have become."""
        return {entry.installed.digest for entry in self._entries.values()}

    @property
    def queue(self) -> Queue:
        leases = sum(entry.leases for entry in self._entries.values())
        running = sum(min(entry.leases, self._settings.engine.max_batch) for entry in self._entries.values())
        return Queue(running, leases - running, self._settings.server.max_queue)

    def _snapshot(self, entry: Entry) -> Resident:
        assert entry.loaded is not None and entry.hello is not None and entry.runner is not None
        gauges = entry.runner.gauges
        running = min(entry.leases, self._settings.engine.max_batch)
        return Resident(
            name=entry.name,
            installed=entry.installed,
            info=entry.loaded,
            hello=entry.hello,
            memory_bytes=max(entry.loaded.weight_bytes, gauges.active_memory),
            loaded_at=entry.loaded_at,
            last_used=entry.last_used,
            expires_at=entry.expires_at,
            running=running,
            waiting=entry.leases - running,
            pid=entry.runner.pid,
            gauges=gauges,
        )

    def _wake(self) -> None:
        self._changed.set()

    def _background(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
