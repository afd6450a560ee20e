"""The warm spare: one child whose imports are done, waiting for a model."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from .. import protocol
from ..errors import RunnerDied
from ..workers.runner import Runner

LOG = logging.getLogger("mlx_serve.residency")


class Spare:
    """Keeps at most one spare. `hello` is what the first child said of the device, `process_bytes` what it held."""

    def __init__(self, spawn: Callable[[], Awaitable[Runner]] = Runner.spawn) -> None:
        self._spawn = spawn
        self._spawning: asyncio.Task[Runner] | None = None
        self._hello: protocol.Hello | None = None
        self._closed = False
        self.process_bytes = 0

    def prepare(self) -> None:
        """Begin a spare in the background when there is none."""
        if self._spawning is None and not self._closed:
            self._spawning = asyncio.create_task(self._start())
            self._spawning.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _start(self) -> Runner:
        try:
            runner = await self._spawn()
        except OSError as error:
            raise RunnerDied("", f"a process cannot be started: {error.strerror or error}") from error
        LOG.debug("spawn spare pid=%d", runner.pid)
        return runner

    async def take(self) -> Runner:
        """A living child, the spare or a new one. Raises RunnerDied when the machine cannot start a process."""
        while True:
            fresh = self._spawning is None
            self.prepare()
            spawning, self._spawning = self._spawning, None
            if spawning is None:
                raise RunnerDied("", "the daemon is shutting down")
            try:
                runner = await asyncio.shield(spawning)
            except asyncio.CancelledError:  # whoever wanted it has gone: it is the spare again
                if self._spawning is None:
                    self._spawning = spawning
                if self._closed:
                    await self.close()
                raise
            except RunnerDied:
                if fresh:
                    raise
                continue  # a spare that failed earlier is no reason to refuse a request now
            if runner.connected:
                return runner

    async def hello(self) -> protocol.Hello:
        """What this machine's device is. Raises RunnerDied when no child can start."""
        if self._hello is None:
            try:
                self._hello = await self._ask()
            except RunnerDied:
                self._hello = await self._ask()  # a spare that was ended from outside is no reason to refuse a request
        return self._hello

    async def _ask(self) -> protocol.Hello:
        self.prepare()
        asked = self._spawning
        if asked is None:
            raise RunnerDied("", "the daemon is shutting down")
        try:
            runner = await asyncio.shield(asked)
            hello = await runner.hello()
        except RunnerDied:
            if self._spawning is asked:
                self._spawning = None
            raise
        self.process_bytes = runner.process_bytes
        return hello

    async def close(self) -> None:
        self._closed = True
        if self._spawning is not None:
            spawning, self._spawning = self._spawning, None
            with contextlib.suppress(RunnerDied):
                runner = await spawning
                await runner.close()
