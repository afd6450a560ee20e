"""A residency without processes: every model of the store is served by one scripted engine."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fakes.engine import FakeEngine
from fakes.store import FakeStore

from mlx_serve.daemon.memory_pressure import Level
from mlx_serve.daemon.protocol import (
    Count,
    Counted,
    Detokenize,
    Detokenized,
    Event,
    Gauges,
    Generate,
    Hello,
    Loaded,
)
from mlx_serve.daemon.residency.backoff import Quarantine
from mlx_serve.daemon.residency.lease import Resident
from mlx_serve.daemon.residency.request_queue import Queue
from mlx_serve.daemon.settings.schema import Settings
from mlx_serve.daemon.workers.runner import EventSink
from mlx_serve.store.installed import Installed

HELLO = Hello(protocol=1, pid=1, backend="cpu", device="cpu", device_memory=1)


@dataclass
class FakeModel:
    installed: Installed
    engine: FakeEngine
    info: Loaded
    load_seconds: float = 0.125

    @property
    def capabilities(self) -> tuple[str, ...]:
        return tuple(each for each in self.installed.manifest.capabilities if each in self.info.capabilities)

    @property
    def context_length(self) -> int:
        return min(self.info.context_length, self.installed.context_length(None) or self.info.context_length)

    def submit(self, work: Generate, sink: EventSink) -> int:
        return self.engine.submit(work, sink)

    def cancel(self, number: int) -> None:
        self.engine.cancel(number)


class FakeTokenizers:
    """A word is a token, whose id is its length; `failure` is raised instead. `asked` is what was to be done."""

    count = 0

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.asked: list[tuple[str, Count | Detokenize]] = []

    async def ask(self, installed: Installed, work: Count | Detokenize) -> Event:
        self.asked.append((installed.name.display(), work))
        if self.failure is not None:
            raise self.failure
        if isinstance(work, Detokenize):
            texts = [" ".join("x" * token for token in sequence) for sequence in work.sequences]
            return Detokenized(id=1, texts=tuple(texts))
        words = [str(getattr(prompt, "text", prompt)).split() for prompt in work.prompts]
        packed = tuple(array("i", map(len, each)).tobytes() for each in words)
        return Counted(id=1, counts=tuple(map(len, words)), tokens=packed if work.return_tokens else ())


class FakeResidency:
    """`failure` is raised to who asks for a model, `late_failure` after the load, which waits for `hold_load`.

    `leases` counts those that are held. `found`, `keep_alive`, `loaded` and `unloaded` say what was asked; `quarantine`
    is shown; `audits` counts how often it was told that no request is open.
    """

    def __init__(self, store: FakeStore, engine: FakeEngine) -> None:
        self.store, self.engine = store, engine
        self.info = Loaded(
            weight_bytes=1,
            kv_bytes_per_token=1,
            context_length=4096,
            vocabulary=100,
            batchable=True,
            capabilities=("completion", "tools", "thinking"),
        )
        self.failure: Exception | None = None
        self.hold_load: asyncio.Event | None = None
        self.late_failure: Exception | None = None
        self.leases = self.audits = 0
        self.idle = asyncio.Event()
        self.queue = Queue(running=0, waiting=0, limit=256)
        self.keep_alive: list[float | None] = []
        self.found: list[str] = []
        self.loaded: list[str] = []
        self.unloaded: list[str] = []
        self.quarantine: list[Quarantine] = []
        self.deaths: dict[str, int] = {}
        self.restarts: dict[str, int] = {}
        self.measured = 0
        self.tokenizers = FakeTokenizers()
        self._rows: list[Resident] = []

    def configure(self, settings: Settings) -> None:
        self.settings = settings

    async def renew(self) -> list[Installed]:
        return []

    async def start(self) -> None:
        pass

    async def measure(self) -> None:
        self.measured += 1

    async def close(self, drain_seconds: float = 0.0) -> None:
        pass

    async def find(self, name: str) -> Installed:
        self.found.append(name)
        if self.failure is not None:
            raise self.failure
        return self.store.find(name)

    @asynccontextmanager
    async def use(self, found: Installed, *, keep_alive: float | None = None) -> AsyncGenerator[FakeModel]:
        self.keep_alive.append(keep_alive)
        self.loaded.append(found.name.display())
        self.leases += 1
        try:
            if self.hold_load is not None:
                await self.hold_load.wait()
            if self.late_failure is not None:
                raise self.late_failure
            yield FakeModel(found, self.engine, self.info)
        finally:
            self.leases -= 1
            self.idle.set()

    async def load(self, found: Installed, *, keep_alive: float | None = None) -> Resident:
        """Used a minute and a half ago, and going in half an hour unless it stays for ever."""
        now = time.time()
        expires = None if keep_alive is not None and keep_alive < 0 else now + 1801
        row = Resident(
            name=found.name.display(),
            installed=found,
            info=self.info,
            hello=HELLO,
            memory_bytes=2_000_000,
            share_bytes=3_000_000,
            loaded_at=now,
            last_used=now - 90,
            expires_at=expires,
            running=0,
            waiting=0,
            pid=1,
            gauges=Gauges(),
        )
        self._rows.append(row)
        return row

    def audit(self) -> None:
        self.audits += 1

    def forget(self, model: Installed) -> None:
        self.quarantine = [one for one in self.quarantine if one.digest != model.base]

    async def unload(self, model: Installed) -> bool:
        self.unloaded.append(model.name.display())
        before = len(self._rows)
        self._rows = [row for row in self._rows if row.installed.digest != model.digest]
        return len(self._rows) < before

    pressure: Level = "normal"
    memory_limit = 8_000_000

    def quarantined(self) -> list[Quarantine]:
        return list(self.quarantine)

    @property
    def in_use(self) -> set[str]:
        return {row.installed.digest for row in self._rows}

    def resident(self) -> list[Resident]:
        return list(self._rows)
