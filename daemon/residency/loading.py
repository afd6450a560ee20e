"""One model's way into memory: its files, a warm child, the child's answer. Knows nothing of requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ...store.inspect import architectures
from .. import prefix_folder, protocol, store_threads
from ..errors import LoadError, RunnerDied, UnsupportedByModel
from ..workers.read_ahead import read_ahead
from .backoff import Failures
from .budget import Ledger, after_load, wired_bound
from .slot import Slot
from .spare import Spare

if TYPE_CHECKING:
    from ...store.store import Installed, Store
    from ..settings.schema import Settings

LOG = logging.getLogger("mlx_serve.residency")

LEAST_SECONDS = 60.0
SLOWEST_DISK = 20_000_000  # bytes a second


def deadline(file_bytes: int) -> float:
    """Seconds that a load may take."""
    return LEAST_SECONDS + file_bytes / SLOWEST_DISK


class Loader:
    """Loads slots into children; remembers which models failed."""

    def __init__(self, settings: Settings, store: Store, spare: Spare, served: Collection[protocol.Kind]) -> None:
        self._settings = settings
        self._store = store
        self._spare = spare
        self._served = served
        self.failures = Failures()

    def configure(self, settings: Settings) -> None:
        """For the loads that begin from now on."""
        self._settings = settings

    def check(self, installed: Installed) -> None:
        """Raises UnsupportedByModel for a kind without a worker; Quarantined or LoadError while a model that failed
        lately is held back."""
        kind = installed.manifest.kind
        if kind not in self._served:
            reason = f"this version of mlx-serve does not serve models of type {kind}"
            raise UnsupportedByModel(str(installed.name.display()), reason)
        self.failures.check(installed.base, str(installed.name.display()))

    async def ledger(self) -> Ledger:
        """With what is configured for all models together, else what the device has. Raises RunnerDied."""
        hello = await self._spare.hello()
        configured, cache = self._settings.models.memory_limit, self._settings.cache
        return Ledger(
            configured if configured is not None else hello.device_memory,
            self._spare.process_bytes,
            {
                "llm": cache.max_llm_models,
                "vlm": cache.max_vlm_models,
                "embedding": cache.max_embedding_models,
                "reranker": cache.max_reranker_models,
            },
        )

    def wired_bound(self, ledger: Ledger, weights: int) -> int:
        """What of all weights together Metal may keep resident when a model with so many bytes of them comes."""
        return wired_bound(ledger.limit, self._settings.models.wired, weights)

    async def files(self, slot: Slot) -> Path:
        """The folder to load from. Raises what `store.view` raises, and UnsupportedModel where the installed libraries
        have no such architecture."""
        manifest = slot.installed.manifest
        await asyncio.to_thread(architectures.check, manifest.architecture, manifest.kind)
        return await store_threads.work(self._store.view, slot.installed)

    async def load(self, slot: Slot, files: Path) -> None:
        """Fill the slot's runner, hello and loaded. Raises LoadError, InsufficientMemory, and RunnerDied when there is
        no process to load it into."""
        began = time.monotonic()
        slot.runner = await self._spare.take()
        try:
            with read_ahead(files):
                slot.hello = await self._greeting(slot)
            slot.loaded = await slot.runner.load(self._request(slot, str(files)), deadline(slot.installed.size))
        except RunnerDied as error:
            self.failures.died(slot.base, slot.name, error.reason, loading=True)
            raise LoadError(slot.name, f"its process ended while loading ({error.reason})") from error
        except LoadError as error:
            self.failures.refused(slot.base, error)
            raise
        tensors = 0 if slot.hello.backend == "cuda" else slot.loaded.weight_bytes
        slot.process = max(slot.process, await slot.runner.measure() - tensors)
        slot.needs = min(after_load(slot.loaded, slot.process), slot.share)
        slot.loaded_at = time.time()
        slot.loaded_at_tick = asyncio.get_running_loop().time()
        slot.load_seconds = time.monotonic() - began
        self.failures.loaded(slot.base, slot.name)
        LOG.info(
            "load model name=%s seconds=%.2f bytes=%d pid=%d",
            slot.name,
            slot.load_seconds,
            slot.loaded.weight_bytes,
            slot.runner.pid,
        )

    async def _greeting(self, slot: Slot) -> protocol.Hello:
        """Of the slot's child, or of another one: a spare that was ended from outside, so short a time ago that nobody
        has noticed, is no reason to refuse a request now. Raises RunnerDied."""
        assert slot.runner is not None
        with contextlib.suppress(RunnerDied):
            return await slot.runner.hello()
        slot.runner = await self._spare.take()
        return await slot.runner.hello()

    def _request(self, slot: Slot, path: str) -> protocol.Load:
        slot.context_limit = slot.installed.loaded_context(self._settings.engine.context_length)
        engine, cache = self._settings.engine, self._settings.cache
        prefixes, on_disk = cache.prefix_cache_mb, cache.prefix_disk_mb
        files = protocol.PrefixFiles(
            folder=str(prefix_folder.root(self._settings.home)),
            model=slot.base,
            budget=None if on_disk is None else on_disk << 20,
            bits=None if cache.prefix_bits == "exact" else int(cache.prefix_bits),
        )
        return protocol.Load(
            path=path,
            name=slot.name,
            kind=slot.kind,
            max_batch=engine.max_batch,
            prefill_tokens_per_step=engine.prefill_tokens_per_step,
            context_length=slot.context_limit,
            memory_limit=slot.told,
            wired=slot.wired,
            prefixes=None if prefixes is None else prefixes << 20,
            files=None if on_disk == 0 else files,
            kernels=str(self._settings.home / "cache" / "kernels"),
        )
