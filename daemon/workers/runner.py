"""The parent's side of one child: load, work and its events, liveness, its end. Knows no HTTP and no residency."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from .. import protocol
from ..errors import InsufficientMemory, LoadError, RequestRejected, RunnerDied, UnsupportedByModel
from .channel import Channel
from .child import ENGINE, Child
from .last_event import LastEvent

LOG = logging.getLogger("mlx_serve.runner")

START_SECONDS = 120.0
LOAD_SILENT_SECONDS = 60.0
PING_SECONDS = 10.0
WEDGED_SECONDS = 120.0
WEDGED_STEPS = 10
QUIT_SECONDS = 5.0
TOGETHER = 32  # sinks that are flushed before the first of their writes


class EventSink(Protocol):
    """Where the events of one piece of work go, on the event loop. No call may block or raise."""

    def put(self, event: protocol.Event) -> None:
        """The next event; nothing follows the one that is `last`. Never a Rejected."""

    def flush(self) -> Callable[[], None] | None:
        """What came together is all put: it may be acted upon. Gives what is to be called soon after, for what leaves
        then: to prepare that for some sinks, and then to write it for them, takes a processor a tenth less time than to
        do both for each, whose instructions and data drive one another out of its caches."""

    def fail(self, error: Exception) -> None:
        """RequestRejected or RunnerDied; nothing follows."""


class Runner:
    """One child process and the work in it. `gauges` are its newest; `process_bytes` it held before its model came.
    `answered`: a first token or another answer has come."""

    def __init__(self, child: Child, *, wedged_seconds: float = WEDGED_SECONDS) -> None:
        loop = asyncio.get_running_loop()
        self._child = child
        self._channel: Channel | None = None
        self._ids = itertools.count(1)
        self._sinks: dict[int, EventSink] = {}
        self._fed: dict[EventSink, None] = {}  # since the last pause between frames
        self._hello: asyncio.Future[protocol.Hello] = loop.create_future()
        self._loaded: asyncio.Future[protocol.Loaded] = loop.create_future()
        self._received_at = time.monotonic()
        self._wedged_seconds = wedged_seconds
        self._load_sent = False
        self._watch: asyncio.TimerHandle | None = None
        self._reason: str | None = None
        self._quitting = False
        self._reaping: asyncio.Task[None] | None = None
        self.dead = asyncio.Event()
        self.answered = asyncio.Event()
        self.model = ""
        self.gauges = protocol.Gauges()
        self.process_bytes = 0

    @classmethod
    async def spawn(
        cls, command: Sequence[str] = ENGINE, *, wedged_seconds: float = WEDGED_SECONDS, cache: Path | None = None
    ) -> Runner:
        """Start a child; it imports what it needs in the meantime. `cache` as in `Child.spawn`."""
        child, sock = await Child.spawn(command, cache)
        runner = cls(child, wedged_seconds=wedged_seconds)
        runner._channel = await Channel.open(sock, runner._take, runner._closed, runner._flush)
        return runner

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._reason is None

    @property
    def connected(self) -> bool:
        """Its socket is open; that of a dead process closes before it is known what it died of."""
        return self.alive and self._reaping is None

    @property
    def resident_bytes(self) -> int:
        """Memory that is the process's own, not shared with others, a second or less before; 0 when it is gone. When
        nobody has asked for a while, that of the last time: `measure` first."""
        return self._child.memory.value

    @property
    def loading(self) -> bool:
        """It was told to load, and has not said how that went."""
        return self._load_sent and not self._loaded.done()

    @property
    def busy(self) -> int:
        """Pieces of work that have not ended."""
        return len(self._sinks)

    @property
    def quitting(self) -> bool:
        """Its end was asked for."""
        return self._quitting

    @property
    def death(self) -> str:
        return self._reason or "it is alive"

    async def measure(self, seconds: float = 0.0) -> int:
        """`resident_bytes`, not older than so many seconds."""
        return await self._child.memory.measure(seconds)

    async def hello(self) -> protocol.Hello:
        """Wait for the imports. Raises RunnerDied."""
        try:
            hello = await asyncio.wait_for(asyncio.shield(self._hello), START_SECONDS)
        except TimeoutError:
            self._kill(f"it did not start within {START_SECONDS:.0f} s")
            raise RunnerDied(self.model, self.death) from None
        if not self.alive:
            raise RunnerDied(self.model, self.death)
        if not self.process_bytes:
            self.process_bytes = await self.measure()
        return hello

    async def load(self, request: protocol.Load, seconds: float) -> protocol.Loaded:
        """Load the model, within so many seconds and with signs of life all the while, or be killed. Raises LoadError,
        UnsupportedByModel, InsufficientMemory, RunnerDied."""
        self.model = request.name
        await self.hello()
        self._send(request)
        self._load_sent = True
        deadline = time.monotonic() + seconds
        self._received_at = time.monotonic()
        while True:
            now, silent_until = time.monotonic(), self._received_at + LOAD_SILENT_SECONDS
            if deadline <= now:
                self._kill(f"it did not load within {seconds:.0f} s")
            elif silent_until <= now:
                self._kill(f"it gave no sign of life for {LOAD_SILENT_SECONDS:.0f} s while loading")
            with contextlib.suppress(TimeoutError):
                left = min(deadline, silent_until) - now
                return await asyncio.wait_for(asyncio.shield(self._loaded), max(0.0, left))

    def limit(self, memory: int, *, tight: bool) -> None:
        """MLX in the child may hold so many bytes from now on, and nothing for later where memory is `tight`. Does
        nothing to a child that is gone."""
        if self.alive:
            self._send(protocol.Limit(memory_limit=memory, tight=tight))

    # work

    def submit(self, work: protocol.Work, sink: EventSink) -> int:
        """Hand work to the child; gives the id for `cancel`. Raises RunnerDied, RequestRejected."""
        number = next(self._ids)
        self._send(protocol.Ask(id=number, work=work))
        if not self._sinks:
            self._received_at = time.monotonic()
        self._sinks[number] = sink
        self._schedule_ping()
        return number

    def cancel(self, number: int) -> None:
        """No further event of this work reaches its sink. Does nothing when it has ended."""
        if self._sinks.pop(number, None) is not None and self.alive:
            self._send(protocol.Cancel(id=number))

    async def ask(self, work: protocol.Work) -> protocol.Event:
        """The event of work that is answered with one. Leaving early cancels it. Raises RequestRejected, RunnerDied."""
        answer = LastEvent()
        number = self.submit(work, answer)
        try:
            return await answer.event
        finally:
            self.cancel(number)

    def _send(self, message: protocol.ToChild) -> None:
        if self._channel is None or not self.alive:
            raise RunnerDied(self.model, self.death)
        try:
            self._channel.send(message)
        except protocol.FrameTooLarge:
            raise RequestRejected("invalid_request", "the request is too large for the engine") from None

    # pings are sent only while there is work, so that an idle daemon does not wake up

    def _schedule_ping(self) -> None:
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(min(PING_SECONDS, self._wedged_seconds / 4), self._ping)

    def _ping(self) -> None:
        self._watch = None
        if not self._sinks or not self.alive or self._channel is None:
            return
        silent = time.monotonic() - self._received_at
        if silent > max(self._wedged_seconds, WEDGED_STEPS * self.gauges.longest_step):
            self._kill(f"its engine loop did not respond for {silent:.0f} s")
            return
        self._channel.send(protocol.Ping(id=next(self._ids)))
        self._schedule_ping()

    # frames from the child

    def _take(self, message: protocol.FromChild) -> None:
        self._received_at = time.monotonic()
        match message:
            case protocol.Step():
                self.gauges = message.gauges
                self._deliver(message.events)
            case protocol.Pong():
                self.gauges = message.gauges
            case protocol.Hello():
                self._accept_hello(message)
            case protocol.Loaded():
                if not self._loaded.done():
                    self._loaded.set_result(message)
            case protocol.LoadFailed():
                self._fail_load(message)
            case protocol.Fatal():
                LOG.error("fail engine model=%s pid=%d reason=%s", self.model, self.pid, message.message)
                self._end(message.message)

    def _deliver(self, events: Sequence[protocol.Event]) -> None:
        sinks, fed = self._sinks, self._fed
        if not self.answered.is_set() and any(event.last or type(event) is protocol.Delta for event in events):
            self.answered.set()
        for event in events:
            sink = sinks.get(event.id)
            if sink is None:
                continue  # cancelled in the meantime
            if event.last:
                del sinks[event.id]
            if type(event) is protocol.Rejected:
                sink.fail(RequestRejected(event.code, event.message, event.param, event.excess))
            else:
                sink.put(event)
                fed[sink] = None

    def _flush(self) -> None:
        """No further frame is there: what the events of all of them have come to leaves."""
        if self._fed:
            fed = list(self._fed)
            self._fed.clear()
            for start in range(0, len(fed), TOGETHER):
                sinks = fed[start : start + TOGETHER]
                for write in [write for sink in sinks if (write := sink.flush()) is not None]:
                    write()

    def _accept_hello(self, hello: protocol.Hello) -> None:
        if hello.protocol != protocol.PROTOCOL:
            self._kill(f"it uses protocol {hello.protocol} and this daemon {protocol.PROTOCOL}; restart the daemon")
        elif not self._hello.done():
            for note in hello.notes:
                LOG.warning("start engine note=%s", note)
            self._hello.set_result(hello)

    def _fail_load(self, failed: protocol.LoadFailed) -> None:
        if self._loaded.done():
            return
        if failed.code == "insufficient_memory":
            self._loaded.set_exception(InsufficientMemory(f"model {self.model!r} does not fit: {failed.message}"))
        elif failed.code == "unsupported":
            self._loaded.set_exception(UnsupportedByModel(self.model, failed.message))
        else:
            self._loaded.set_exception(LoadError(self.model, failed.message))

    # its end

    def _closed(self, problem: str | None) -> None:
        """The child's socket is closed. Everything that waits fails with the cause as soon as it is known."""
        if problem is not None:
            self._end(problem)
            self._child.kill()
        self._reaping = asyncio.get_running_loop().create_task(self._reap())

    async def _reap(self) -> None:
        try:
            cause = await asyncio.wait_for(self._child.wait(), QUIT_SECONDS)
        except TimeoutError:
            self._child.kill()
            cause = await self._child.wait()
        if self._reason is None and not self._quitting:
            LOG.error("end child model=%s pid=%d cause=%s", self.model or "none", self.pid, cause)
        self._end(cause)
        self.dead.set()

    def _kill(self, reason: str) -> None:
        LOG.error("kill child model=%s pid=%d reason=%s", self.model or "none", self.pid, reason)
        self._end(reason)
        self._child.kill()

    def _end(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
        for future in (self._hello, self._loaded):
            if not future.done():
                future.set_exception(RunnerDied(self.model, self._reason))
                future.exception()
        sinks, self._sinks = self._sinks, {}
        for sink in sinks.values():
            sink.fail(RunnerDied(self.model, self._reason))

    async def close(self) -> None:
        """End the child; returns when the process is gone and its memory free."""
        self._quitting = True
        if self.loading or not self._hello.done():
            self._child.kill()  # it would not hear, and has nothing to save
        elif self.alive and self._channel is not None:
            self._channel.send(protocol.Quit())
        try:
            await asyncio.wait_for(self.dead.wait(), QUIT_SECONDS)
        except TimeoutError:
            self._kill("it did not exit")
            await self.dead.wait()
        if self._watch is not None:
            self._watch.cancel()
