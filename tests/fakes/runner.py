"""Runners without processes: a fleet that loads, dies and closes as a test says, with gates in place of time."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from mlx_serve.daemon.errors import RunnerDied
from mlx_serve.daemon.protocol import PROTOCOL, Accepted, Counted, Event, Finished, Gauges, Hello, Load, Loaded, Work
from mlx_serve.daemon.workers.runner import EventSink

MEMORY = 1 << 30


class FakeRunner:
    """What residency sees of a runner."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.pid = next(fleet.pids)
        self.model = ""
        self.alive = self.connected = True
        self.busy = 0
        self.closed = self.quitting = False
        self.dead = asyncio.Event()
        self.answered = asyncio.Event()
        self.gauges = Gauges()
        self.death = "it is alive"
        self.request: Load | None = None
        self.seconds = 0.0
        self.process_bytes = fleet.process
        self.resident_bytes = 0
        self.limits: list[int] = []
        self.tight = False

    async def hello(self) -> Hello:
        if not self.alive:
            raise RunnerDied(self.model, self.death)
        return Hello(protocol=PROTOCOL, pid=self.pid, backend="cpu", device="fake", device_memory=self.fleet.memory)

    async def load(self, request: Load, seconds: float) -> Loaded:
        self.model, self.request, self.seconds = request.name, request, seconds
        self.fleet.loads.append(request.name)
        self.fleet.loading.set()
        if (gate := self.fleet.gates.get(request.name)) is not None:
            await gate.wait()
        outcome = self.fleet.outcomes.get(request.name)
        if isinstance(outcome, RunnerDied):
            self.die(outcome.reason)
        if isinstance(outcome, Exception):
            raise outcome
        return Loaded(
            weight_bytes=outcome if isinstance(outcome, int) else 1 << 20,
            kv_bytes_per_token=0,
            context_length=4096,
            vocabulary=320,
            batchable=True,
        )

    async def measure(self, seconds: float = 0.0) -> int:
        return self.resident_bytes

    def limit(self, memory: int, *, tight: bool) -> None:
        self.limits.append(memory)
        self.tight = tight

    def submit(self, work: Work, sink: EventSink) -> int:
        if not self.alive:
            raise RunnerDied(self.model, self.death)
        sink.put(Accepted(id=1, prompt_tokens=1))
        sink.put(Finished(id=1, reason="stop", prompt_tokens=1, completion_tokens=0))
        return 1

    async def ask(self, work: Work) -> Event:
        """The process's own number, as a count; waits at `asks[name]`, and ends where the process does meanwhile."""
        self.busy += 1
        try:
            if (gate := self.fleet.asks.get(self.model)) is not None:
                done, pending = await asyncio.wait(
                    [asyncio.ensure_future(each.wait()) for each in (gate, self.dead)],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for each in (*done, *pending):
                    each.cancel()
            if not self.alive:
                raise RunnerDied(self.model, self.death)
            return Counted(id=1, counts=(self.pid,))
        finally:
            self.busy -= 1

    def cancel(self, number: int) -> None:
        """Everything has ended."""

    def die(self, reason: str) -> None:
        self.alive, self.death = False, reason
        self.dead.set()

    async def close(self) -> None:
        self.quitting = True
        self.fleet.closing.set()
        if (gate := self.fleet.close_gates.get(self.model)) is not None:
            await gate.wait()
        self.closed = True
        self.die("closed")


class Fleet:
    """`spawn` for a Spare. `process`: the bytes of a runner without a model. `outcomes[name]`: the bytes a load takes,
    or the error it ends with; `gates[name]` and `close_gates[name]` hold a load or a close until they are set."""

    def __init__(self, memory: int = MEMORY) -> None:
        self.memory = memory
        self.process = 0
        self.pids = itertools.count(1000)
        self.runners: list[FakeRunner] = []
        self.loads: list[str] = []
        self.outcomes: dict[str, Any] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.close_gates: dict[str, asyncio.Event] = {}
        self.asks: dict[str, asyncio.Event] = {}
        self.loading = asyncio.Event()
        self.closing = asyncio.Event()
        self.spawn_error: Exception | None = None

    async def spawn(self) -> Any:
        if self.spawn_error is not None:
            raise self.spawn_error
        runner = FakeRunner(self)
        self.runners.append(runner)
        return runner

    def hold(self, name: str) -> asyncio.Event:
        """A gate that the model's load waits at."""
        self.gates[name] = asyncio.Event()
        return self.gates[name]

    def hold_close(self, name: str) -> asyncio.Event:
        self.close_gates[name] = asyncio.Event()
        return self.close_gates[name]

    def of(self, name: str) -> list[FakeRunner]:
        """Every runner that ever took this model, the living and the dead."""
        return [runner for runner in self.runners if runner.model == name]

    @property
    def left(self) -> list[FakeRunner]:
        return [runner for runner in self.runners if runner.alive]
