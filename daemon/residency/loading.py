"""One model's way into memory: its files, a warm child, the child's answer. Knows nothing of who waits for it."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .. import protocol, store_threads
from ..errors import LoadError, RunnerDied
from .backoff import Failures
from .budget import after_load
from .slot import Slot
from .spare import Spare

if TYPE_CHECKING:
    from ...store.store import Installed, Store
    from ..settings.schema import Settings

LOG = logging.getLogger("mlx_serve.residency")


class Loader:
    """Loads slots into children; remembers which models failed."""

    def __init__(self, settings: Settings, store: Store, spare: Spare) -> None:
        self._settings = settings
        self._store = store
        self._spare = spare
        self._failures = Failures()

    def check(self, installed: Installed) -> None:
        """Raises LoadError while a model that failed lately is held back."""
        self._failures.check(installed.base, str(installed.name.display()))

    async def limit(self) -> int:
        """Bytes that all models together may take: as configured, else what the device has. Raises RunnerDied."""
        configured = self._settings.models.memory_limit
        return configured if configured is not None else (await self._spare.hello()).device_memory

    async def files(self, slot: Slot) -> Path:
        """The folder to load from. Raises what `store.view` raises."""
        return await store_threads.work(self._store.view, slot.installed)

    async def load(self, slot: Slot, files: Path, memory: int) -> None:
        """Fill the slot's runner, hello and loaded; `memory` bytes are its share. Raises LoadError,
        InsufficientMemory, and RunnerDied when there is no process to load it into."""
        began = time.monotonic()
        slot.runner = await self._spare.take()
        try:
            slot.hello = await slot.runner.hello()
            slot.loaded = await slot.runner.load(self._request(slot, str(files), memory))
        except RunnerDied as error:
            self._failures.died(slot.base, error.reason)
            raise LoadError(slot.name, f"its process ended while loading ({error.reason})") from error
        except LoadError as error:
            self._failures.refused(slot.base, error.reason)
            raise
        finally:
            self._spare.prepare()
        slot.reserved = after_load(slot.loaded)
        slot.loaded_at = time.time()
        self._failures.forget(slot.base)
        LOG.info(
            "load model name=%s seconds=%.2f bytes=%d pid=%d",
            slot.name,
            time.monotonic() - began,
            slot.loaded.weight_bytes,
            slot.runner.pid,
        )

    def _request(self, slot: Slot, path: str, memory: int) -> protocol.Load:
        engine = self._settings.engine
        return protocol.Load(
            path=path,
            name=slot.name,
            kind=slot.kind,
            max_batch=engine.max_batch,
            prefill_tokens_per_step=engine.prefill_tokens_per_step,
            context_length=engine.context_length,
            memory_limit=max(0, memory),
        )
