"""Running pulls and quantizations: each is done once for all who ask for it, and stops when no follower is left.

They are started by the control API, by /api/pull and /api/create, and by requests with models.auto_download.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Hashable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from ...store.aliases import ALIASES
from ...store.disk.manifests import Overrides
from ...store.ingest.builtin import find_builtin
from ...store.names import BUILTIN_OWNER, LOCAL_OWNER, Name, is_full
from ...store.progress import Progress, Report
from .. import store_threads
from ..errors import PullStopped
from ..keep_awake import KeepAwake
from .byte_counter import ByteCounter
from .quantizing import QuantizeOrder, name_after
from .shared_task import SharedTask, in_thread

if TYPE_CHECKING:
    from ...store.disk.manifests import Kind, Quantization
    from ...store.store import Installed, Store
    from .quantizing import Quantizer

LOG = logging.getLogger("mlx_serve.pulls")

_OWN = (LOCAL_OWNER, BUILTIN_OWNER)
_CLOSE_SECONDS = 2.0


@dataclass(frozen=True)
class PullOrder:
    """What `Store.pull` takes, and what is to happen afterwards. `name` is that of the result.

    The token does not count in comparisons: two clients who want the same model share one pull.
    """

    source: str
    kind: Kind | None = None
    name: str | None = None
    revision: str | None = None
    quantize: Quantization | None = None
    keep_source: bool = False
    token: str | None = field(default=None, compare=False, repr=False)


Order: TypeAlias = PullOrder | QuantizeOrder


class Pulls:
    """`in_memory` returns the manifests (hex) whose files a model's process may read now; they are kept. `ended` counts
    what has ended: what was not installed before one did may be now."""

    def __init__(
        self,
        store: Store,
        quantizing: Quantizer,
        in_memory: Callable[[], Collection[str]] = frozenset,
        *,
        keep_awake: KeepAwake | None = None,
    ) -> None:
        self._store = store
        self._quantizing = quantizing
        self._in_memory = in_memory
        self._keep_awake = keep_awake or KeepAwake()
        self._works: dict[Order, SharedTask[Progress, Installed]] = {}
        self._ending: set[asyncio.Task[Installed]] = set()
        self._unwanted: set[Name] = set()
        self._closed = False
        self._bytes = ByteCounter()
        self.ended = 0

    @property
    def fetched(self) -> int:
        """Bytes that were downloaded since the daemon started."""
        return self._bytes.total

    @property
    def running(self) -> int:
        return len(self._works)

    def under_way(self) -> list[tuple[Order, Progress | None]]:
        """What is done now, and how far each is; the oldest first."""
        return [(order, work.latest) for order, work in self._works.items() if not work.over]

    async def follow(self, order: Order) -> AsyncGenerator[Progress | Installed]:
        """The progress so far, further progress, then the model. Raises what the store or the job raises, PullStopped.

        Closing the iterator ends following; after the last follower the work stops, and what was fetched stays.
        """
        if self._closed:
            raise PullStopped
        work = self._works.get(order)
        if work is None or work.over:
            work = self._begin(order)
        async with aclosing(work.follow()) as events:
            async for event in events:
                yield event

    async def run(self, order: Order) -> Installed:
        """The model, for callers that need no progress."""
        async with aclosing(self.follow(order)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    return event
        raise PullStopped

    async def close(self) -> None:
        """Stop everything; followers get PullStopped. Waits up to _CLOSE_SECONDS for threads and children to end."""
        self._closed = True
        for work in self._works.values():
            work.stop(PullStopped())
        if self._ending:
            await asyncio.wait(set(self._ending), timeout=_CLOSE_SECONDS)

    def _begin(self, order: Order) -> SharedTask[Progress, Installed]:
        work = self._works[order] = SharedTask(partial(self._work, order), _subject)
        self._ending.add(work.task)
        self._keep_awake.begin()

        def ended(task: asyncio.Task[Installed]) -> None:
            self._ending.discard(task)
            self._keep_awake.end()
            if self._works.get(order) is work:
                del self._works[order]

        work.task.add_done_callback(ended)
        return work

    async def _work(self, order: Order, report: Report) -> Installed:
        try:
            return await self._do(order, report)
        finally:
            self.ended += 1

    async def _do(self, order: Order, report: Report) -> Installed:
        report = self._bytes.counting(report)

        def forward(progress: Progress) -> None:
            if progress.status != "success":  # the result itself says so, once, at the end
                report(progress)

        if not isinstance(order, PullOrder):
            return await self._quantizing.run(order, forward)
        if order.quantize is None:
            model = await in_thread(partial(self._pull, order, order.name, forward), "pull")
            self._unwanted.discard(model.name)
            return model
        return await self._pull_quantized(order, order.quantize, forward)

    def _pull(self, order: PullOrder, name: str | None, report: Report) -> Installed:
        return self._store.pull(
            order.source, kind=order.kind, name=name, revision=order.revision, token=order.token, progress=report
        )

    async def _pull_quantized(self, order: PullOrder, precision: Quantization, report: Report) -> Installed:
        """The full model first, under its own name; then the quantized one, and the full one's name goes."""
        if not order.keep_source:
            made = await in_thread(partial(self._made_before, order, precision, report), "pull")
            if made is not None:
                return made
        here = {model.name for model in await store_threads.look(self._store.models)}
        full = await in_thread(partial(self._pull, order, None, report), "pull")
        if full.name not in here and not order.keep_source:
            self._unwanted.add(full.name)  # if the next step fails, the next attempt cleans up
        made = await self._quantizing.run(
            QuantizeOrder(full.name.display(), precision.bits, precision.group_size, precision.mode, order.name), report
        )
        if order.keep_source:
            self._unwanted.discard(full.name)
        elif full.name in self._unwanted and made.name != full.name:
            await self._drop(full)
        return made

    def _made_before(self, order: PullOrder, precision: Quantization, report: Report) -> Installed | None:
        """What an earlier pull made of the same commit, complete: then the full model need not be downloaded again."""
        known = [
            model
            for model in self._store.models()
            if model.manifest.parent is not None
            and model.manifest.quantization == precision
            and model.manifest.overrides == Overrides()
            and (order.kind is None or order.kind == model.manifest.kind)
        ]
        if not known:
            return None
        origin = self._store.origin(order.source, revision=order.revision, token=order.token, progress=report)
        if origin is None:
            return None
        pulled = self._store.name_of_alias(order.source) or Name(*origin.location.split("/"))
        name = Name.parse(order.name) if order.name else name_after(pulled, precision)
        found = next((model for model in known if model.name == name and model.manifest.source == origin), None)
        if found is None:
            return None

        def forward(done: int, total: int) -> None:
            report(Progress("verifying", overall_completed=done, overall_total=total))

        return found if all(file.ok for file in self._store.verify(str(name), forward)) else None

    async def _drop(self, full: Installed) -> None:
        self._unwanted.discard(full.name)
        in_memory = self._in_memory()
        if full.digest in in_memory:
            LOG.info("keep source model name=%s reason=in use", full.name.display())
        else:
            await store_threads.work(self._store.remove, str(full.name), in_memory)


def downloadable(name: str, aliases: Mapping[str, str]) -> str | None:
    """What to pull for a model that a request names: a repository, an alias or a built-in; None for any other word.

    `aliases` are the user's own.
    """
    if name.lower() in {alias.lower() for alias in aliases} or name.lower() in ALIASES or find_builtin(name):
        return name
    repository = name.removesuffix(":latest")
    if not is_full(name) or ":" in repository or Name.parse(repository).owner.lower() in _OWN:
        return None
    return repository


def _subject(progress: Progress) -> Hashable:
    return progress.path
