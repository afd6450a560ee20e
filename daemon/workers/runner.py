"""The parent's side of one child: load, requests and their events, heartbeat, death. Knows no HTTP and no residency."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from .. import protocol
from ..errors import InsufficientMemory, LoadError, RequestRejected, RunnerDied, UnsupportedByModel
from .channel import Channel
from .child import ENGINE, Child

LOG = logging.getLogger("mlx_serve.runner")

START_SECONDS = 120.0
PING_SECONDS = 10.0
WEDGED_SECONDS = 120.0
QUIT_SECONDS = 5.0

Told = TypeVar("Told", protocol.Hello, protocol.Loaded)


class Stream:
    """The events of one request, between the child that makes them and the handler that takes them.

    Deltas that wait are merged, so a slow reader costs memory for the text alone and never holds the engine up.
    """

    def __init__(self) -> None:
        self._events: collections.deque[protocol.Event] = collections.deque()
        self._ready = asyncio.Event()
        self.ended = False

    def put(self, event: protocol.Event) -> None:
        last = self._events[-1] if self._events else None
        if isinstance(event, protocol.Delta) and isinstance(last, protocol.Delta) and len(self._events) > 1:
            self._events[-1] = _merged(last, event)
        else:
            self._events.append(event)
        self.ended = self.ended or isinstance(event, protocol.Finished | protocol.Rejected | protocol.Counted)
        self._ready.set()

    def wake(self) -> None:
        self._ready.set()

    async def get(self) -> protocol.Event | None:
        """The next event; None when it was woken for another reason."""
        if not self._events:
            await self._ready.wait()
            self._ready.clear()  # after, not before: the child may have died while nobody waited here
        return self._events.popleft() if self._events else None


def _merged(first: protocol.Delta, second: protocol.Delta) -> protocol.Delta:
    return protocol.Delta(
        id=first.id,
        text=first.text + second.text,
        reasoning=first.reasoning + second.reasoning,
        tool_calls=first.tool_calls + second.tool_calls,
        logprobs=first.logprobs + second.logprobs,
        tokens=second.tokens,
    )


class Runner:
    """One child process and the requests in it. `hello` and `loaded` stand once the child has said so."""

    def __init__(self, child: Child, *, wedged_seconds: float = WEDGED_SECONDS) -> None:
        loop = asyncio.get_running_loop()
        self._child = child
        self._channel: Channel | None = None
        self._ids = itertools.count(1)
        self._streams: dict[int, Stream] = {}
        self._hello: asyncio.Future[protocol.Hello] = loop.create_future()
        self._loaded: asyncio.Future[protocol.Loaded] = loop.create_future()
        self._heard = time.monotonic()
        self._wedged_seconds = wedged_seconds
        self._watch: asyncio.TimerHandle | None = None
        self._reason: str | None = None
        self._quitting = False
        self.dead = asyncio.Event()
        self.model = ""
        self.gauges = protocol.Gauges()

    @classmethod
    async def spawn(
        cls, command: Sequence[str] = ENGINE, *, wedged_seconds: float = WEDGED_SECONDS, cache: Path | None = None
    ) -> Runner:
        """Start a child; it imports what it needs while the caller goes on. `cache` as in `Child.spawn`."""
        child, sock = await Child.spawn(command, cache)
        runner = cls(child, wedged_seconds=wedged_seconds)
        runner._channel = await Channel.open(sock, runner._take, runner._closed)
        return runner

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._reason is None

    @property
    def busy(self) -> int:
        """Requests that have not ended."""
        return len(self._streams)

    @property
    def death(self) -> str:
        return self._reason or "it is alive"

    async def hello(self) -> protocol.Hello:
        """Wait for the imports. Raises RunnerDied."""
        return await self._before_death(self._hello, START_SECONDS)

    async def load(self, request: protocol.Load) -> protocol.Loaded:
        """Bring the model in. Raises LoadError, UnsupportedByModel, InsufficientMemory, RunnerDied."""
        self.model = request.name
        await self.hello()
        self._send(request)
        return await self._before_death(self._loaded, None)

    async def _before_death(self, future: asyncio.Future[Told], seconds: float | None) -> Told:
        try:
            return await asyncio.wait_for(asyncio.shield(future), seconds)
        except TimeoutError:
            self._kill(f"it said nothing for {seconds:.0f} s")
            raise RunnerDied(self.model, self.death) from None

    def generate(self, request: protocol.Generate) -> AsyncGenerator[protocol.Event]:
        """Accepted, Deltas, Finished. Closing the generator cancels. Raises RequestRejected, RunnerDied."""
        return self._events(msgspec.structs.replace(request, id=next(self._ids)), request.render_only)

    async def count(self, prompt: protocol.Prompt, *, return_tokens: bool = False) -> protocol.Counted:
        """Raises RequestRejected, RunnerDied."""
        request = protocol.Count(id=next(self._ids), prompt=prompt, return_tokens=return_tokens)
        async with contextlib.aclosing(self._events(request)) as events:
            async for event in events:
                if isinstance(event, protocol.Counted):
                    return event
        raise RunnerDied(self.model, self.death)

    async def _events(
        self, request: protocol.Generate | protocol.Count, single: bool = False
    ) -> AsyncGenerator[protocol.Event]:
        stream = Stream()
        self._streams[request.id] = stream
        try:
            self._send(request)
            while True:
                event = await stream.get()
                if event is None:
                    if not self.alive:
                        raise RunnerDied(self.model, self.death)
                    continue
                if isinstance(event, protocol.Rejected):
                    raise RequestRejected(event.code, event.message, event.param)
                if single or isinstance(event, protocol.Finished | protocol.Counted):
                    stream.ended = True
                    yield event
                    return
                yield event
        finally:
            del self._streams[request.id]
            if not stream.ended and self.alive:
                self._send(protocol.Cancel(id=request.id))

    def _send(self, message: protocol.ToChild) -> None:
        if self._channel is None or not self.alive:
            raise RunnerDied(self.model, self.death)
        try:
            self._channel.send(message)
        except protocol.FrameTooLarge:
            raise RequestRejected("invalid_request", "the request is too large for the engine") from None
        if isinstance(message, protocol.Generate | protocol.Count):
            self._heard = time.monotonic() if len(self._streams) <= 1 else self._heard
            self._watch_beat()

    # heartbeat: only while somebody waits, so that an idle daemon sleeps

    def _watch_beat(self) -> None:
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(min(PING_SECONDS, self._wedged_seconds / 4), self._beat)

    def _beat(self) -> None:
        self._watch = None
        if not self._streams or not self.alive or self._channel is None:
            return
        silent = time.monotonic() - self._heard
        if silent > self._wedged_seconds:
            self._kill(f"its engine loop gave no sign of life for {silent:.0f} s")
            return
        self._channel.send(protocol.Ping(id=next(self._ids)))
        self._watch_beat()

    # what the child says

    def _take(self, message: protocol.FromChild) -> None:
        self._heard = time.monotonic()
        match message:
            case protocol.Step():
                self.gauges = message.gauges
                for event in message.events:
                    if (stream := self._streams.get(event.id)) is not None:
                        stream.put(event)
            case protocol.Pong():
                self.gauges = message.gauges
            case protocol.Hello():
                self._greet(message)
            case protocol.Loaded():
                if not self._loaded.done():
                    self._loaded.set_result(message)
            case protocol.LoadFailed():
                self._refuse(message)
            case protocol.Fatal():
                LOG.error("lose engine model=%s pid=%d reason=%s", self.model, self.pid, message.message)
                self._end(message.message)

    def _greet(self, hello: protocol.Hello) -> None:
        if hello.protocol != protocol.PROTOCOL:
            self._kill(f"it speaks protocol {hello.protocol}, this daemon {protocol.PROTOCOL}: restart the daemon")
        elif not self._hello.done():
            for note in hello.notes:
                LOG.warning("start engine note=%s", note)
            self._hello.set_result(hello)

    def _refuse(self, failed: protocol.LoadFailed) -> None:
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
        """The child's socket is closed. Everything that waits is told with the cause as soon as it is known."""
        if problem is not None:
            self._end(problem)
            self._child.kill()
        self._burial = asyncio.get_running_loop().create_task(self._bury())

    async def _bury(self) -> None:
        try:
            cause = await asyncio.wait_for(self._child.wait(), QUIT_SECONDS)
        except TimeoutError:
            self._child.kill()
            cause = await self._child.wait()
        if self._reason is None and not self._quitting:
            LOG.error("lose child model=%s pid=%d cause=%s", self.model or "none", self.pid, cause)
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
        for stream in self._streams.values():
            stream.wake()

    async def close(self) -> None:
        """End the child; returns when the process is gone and its memory free."""
        self._quitting = True
        if not self._hello.done():
            self._child.kill()  # it still imports, and holds nothing that a word could save
        elif self.alive and self._channel is not None:
            self._channel.send(protocol.Quit())
        try:
            await asyncio.wait_for(self.dead.wait(), QUIT_SECONDS)
        except TimeoutError:
            self._kill("it did not quit")
            await self.dead.wait()
        if self._watch is not None:
            self._watch.cancel()
