"""Work that needs a model's tokenizer and nothing else: counting tokens, turning them back into text.

A loaded model's own process does it. For any other model there is a small process that opens the tokenizer alone: it
has no weights and no place among the models in memory, so that nobody is put out. It stays for a while, and there are
MOST_PROCESSES at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from .. import protocol, store_threads
from ..errors import Draining, LoadError, QueueFull, RunnerDied
from ..workers.runner import Runner

if TYPE_CHECKING:
    from ...store.store import Installed, Store
    from ..settings.schema import Settings

LOG = logging.getLogger("mlx_serve.tokenizers")

COMMAND = ("-m", "mlx_serve.daemon.engine.tokenize.main")
MOST_PROCESSES = 3
IDLE_SECONDS = 300.0
OPEN_SECONDS = 120.0
FAILED_SECONDS = 10.0
"""For so long a tokenizer that could not be opened is not tried again."""
PATIENCE_SECONDS = 2.0
"""Who has waited so long for a process gets the place of the one that was used longest ago, busy or not."""
ENGINE_PLACES = 8
"""So much at once in a loaded model's process, where chats have their prompts prepared by the same workers."""
RETRY_SECONDS = 1

Work = protocol.Count | protocol.Detokenize


class Tokenizers:
    """Everything here runs on the event loop. `engine_of` gives the process of a loaded model by its base."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine_of: Callable[[str], Runner | None],
        spawn: Callable[[], Awaitable[Runner]] | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._engine_of = engine_of
        self._spawn = spawn or partial(Runner.spawn, COMMAND)
        self._engines: WeakKeyDictionary[Runner, _Places] = WeakKeyDictionary()
        self._processes: dict[str, _Process] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._waiting = 0
        self._closed = False

    async def ask(self, installed: Installed, work: Work) -> protocol.Event:
        """The answer; leaving early cancels the work. Raises RequestRejected, LoadError, QueueFull, Draining,
        RunnerDied, and what `store.view` raises."""
        if self._closed:
            raise Draining
        engine = self._engine_of(installed.base)
        if engine is not None:
            with contextlib.suppress(RunnerDied):  # the model has left meanwhile
                async with self._places(engine):
                    return await engine.ask(work)
        process = await self._take(installed)
        try:
            runner = await self._opened(process)
            async with process.places:
                return await runner.ask(work)
        finally:
            self._give_back(process)

    async def _opened(self, process: _Process) -> Runner:
        try:
            return await asyncio.shield(process.opened)
        except asyncio.CancelledError:
            if self._closed and process.opened.cancelled():
                raise Draining from None
            raise

    @property
    def count(self) -> int:
        """How many processes there are."""
        return len(self._processes)

    def configure(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def in_use(self) -> set[str]:
        """Manifests (hex) whose files are being read; an open tokenizer needs none."""
        return {one.installed.digest for one in self._processes.values() if not one.opened.done()}

    async def end(self, base: str) -> None:
        """The model is put out or removed: returns when its process has done what it has, and is gone."""
        process = self._processes.get(base)
        if process is None:
            return
        process.leaving = True
        while process.users:
            await self._change()
        self._end(process)
        if process.ending is not None:
            await asyncio.wait([process.ending])

    async def close(self) -> None:
        self._closed = True
        for process in list(self._processes.values()):
            self._end(process)
        self._changed.set()
        await asyncio.gather(*self._ending)

    # places

    def _places(self, engine: Runner) -> _Places:
        if engine not in self._engines:
            self._engines[engine] = _Places(ENGINE_PLACES, self._settings.server.max_queue)
        return self._engines[engine]

    async def _take(self, installed: Installed) -> _Process:
        """The process of a model, a new one where there is none; `_give_back` it."""
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + PATIENCE_SECONDS
        while True:
            process = self._processes.get(installed.base)
            if process is not None and process.gone:
                self._end(process)
                process = None
            if process is None and self._room():
                process = self._begin(installed)
            if process is not None and not process.leaving:
                process.users += 1
                process.stop_timer()
                return process
            if self._waiting >= self._settings.server.max_queue:
                raise QueueFull(RETRY_SECONDS)
            self._waiting += 1
            try:
                await self._change(patient_until if loop.time() < patient_until else None)
            finally:
                self._waiting -= 1
            if self._closed:
                raise Draining
            if self._processes and loop.time() >= patient_until:
                min(self._processes.values(), key=lambda one: one.last_used).leaving = True

    def _room(self) -> bool:
        """Whether there may be another process: the idle one that was used longest ago gives way."""
        if len(self._processes) >= MOST_PROCESSES:
            idle = [one for one in self._processes.values() if not one.users]
            if not idle:
                return False
            self._end(min(idle, key=lambda one: one.last_used))
        return True

    async def _change(self, until: float | None = None) -> None:
        """Something may have changed, or it is so late, in the loop's time."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._changed.wait()

    def _give_back(self, process: _Process) -> None:
        loop = asyncio.get_running_loop()
        process.users -= 1
        process.last_used = loop.time()
        self._changed.set()
        if process.users:
            return
        if process.leaving:
            self._end(process)
            return
        seconds = FAILED_SECONDS if process.failed else IDLE_SECONDS
        process.timer = loop.call_later(seconds, self._end, process)

    # processes

    def _begin(self, installed: Installed) -> _Process:
        for other in list(self._processes.values()):
            if other.installed.name == installed.name and not other.users:
                self._end(other)  # another model has that name now
        opened = asyncio.create_task(self._open(installed))
        opened.add_done_callback(lambda task: task.cancelled() or task.exception())
        places = _Places(self._settings.engine.max_batch, self._settings.server.max_queue)
        process = self._processes[installed.base] = _Process(installed, opened, places)
        return process

    async def _open(self, installed: Installed) -> Runner:
        name = installed.name.display()
        folder = await store_threads.work(self._store.view, installed)
        request = protocol.Load(
            path=str(folder),
            name=name,
            kind=installed.manifest.kind,
            max_batch=1,
            prefill_tokens_per_step=1,
            context_length=installed.loaded_context(self._settings.engine.context_length),
        )
        try:
            runner = await self._spawn()
        except OSError as error:
            reason = error.strerror or str(error)
            raise LoadError(name, f"no process can be started for its tokenizer ({reason})") from error
        began = asyncio.get_running_loop().time()
        try:
            await runner.load(request, OPEN_SECONDS)
        except BaseException as error:
            await runner.close()
            if isinstance(error, RunnerDied):
                raise LoadError(name, f"the process of its tokenizer ended ({error.reason})") from error
            raise
        seconds = asyncio.get_running_loop().time() - began
        LOG.info("open tokenizer name=%s seconds=%.2f pid=%d", name, seconds, runner.pid)
        return runner

    def _end(self, process: _Process) -> None:
        """It takes no more work from now on. Called for each process once or more."""
        if self._processes.get(process.installed.base) is process:
            del self._processes[process.installed.base]
        process.stop_timer()
        self._changed.set()
        if process.ending is None:
            process.ending = asyncio.create_task(_close(process.opened))
            self._ending.add(process.ending)
            process.ending.add_done_callback(self._ending.discard)


async def _close(opened: asyncio.Task[Runner]) -> None:
    if not opened.done():
        opened.cancel()
    await asyncio.wait([opened])
    if not opened.cancelled() and opened.exception() is None:
        await opened.result().close()


class _Process:
    """`leaving`: it takes nobody new. `last_used` in the loop's time."""

    def __init__(self, installed: Installed, opened: asyncio.Task[Runner], places: _Places) -> None:
        self.installed = installed
        self.opened = opened
        self.places = places
        self.users = 0
        self.leaving = False
        self.last_used = asyncio.get_running_loop().time()
        self.timer: asyncio.TimerHandle | None = None
        self.ending: asyncio.Task[None] | None = None

    @property
    def failed(self) -> bool:
        return self.opened.done() and (self.opened.cancelled() or self.opened.exception() is not None)

    @property
    def gone(self) -> bool:
        """Its process was open and has ended by itself."""
        return self.opened.done() and not self.failed and not self.opened.result().alive

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class _Places:
    """So many at once; so many more may wait. Entering raises QueueFull."""

    def __init__(self, most: int, waiting: int) -> None:
        self._free = asyncio.Semaphore(most)
        self._room = most + waiting

    async def __aenter__(self) -> None:
        if not self._room:
            raise QueueFull(RETRY_SECONDS)
        self._room -= 1
        try:
            await self._free.acquire()
        except BaseException:
            self._room += 1
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room += 1
        self._free.release()
