"""GET /page/status: what the page shows of the moment. Names, sizes and counts; nothing of who asks, or for what."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ...daemon import store_threads
from ...daemon.context import Context
from ...daemon.protocol import Kind
from ...daemon.tasks.pulls import Order, PullOrder
from ..endpoint import serving

if TYPE_CHECKING:
    from ...daemon.residency.lease import Resident
    from ...store.names import Name
    from ...store.store import Installed


class LoadedModel(msgspec.Struct):
    """Sizes in bytes: what its process holds, and may hold. What was read before is `prefix_memory` of the former, and
    `prefix_disk` in files; `prefix_tokens` of it were not read again, for `prefix_hits` requests. Tokens are those
    since it was loaded, with those of answers under way. Times are Unix times; no `expires_at`: it stays."""

    name: str
    kind: Kind
    backend: str
    context_length: int
    memory: int
    share: int
    running: int
    waiting: int
    loaded_at: float
    last_used: float
    expires_at: float | None
    prompt_tokens: int
    generated_tokens: int
    prefix_memory: int
    prefix_disk: int
    prefix_hits: int
    prefix_tokens: int


class InstalledModel(msgspec.Struct):
    """`size` in bytes, `id` as requests name it."""

    id: str
    kind: Kind
    size: int
    parameters: int
    quantization: str | None
    context_length: int | None
    capabilities: tuple[str, ...]


class RunningPull(msgspec.Struct):
    """A model that is pulled or quantized. Bytes; `total` is 0 until it is known."""

    name: str
    work: Literal["pull", "quantize"]
    status: str
    completed: int
    total: int


class QueueLength(msgspec.Struct):
    """Requests at work and waiting, of all models; `limit` of those may wait for each."""

    running: int
    waiting: int
    limit: int


class HeldModel(msgspec.Struct):
    """Not loaded until then (Unix time), because its process ended too often."""

    name: str
    reason: str
    until: float


class LiveStatus(msgspec.Struct):
    """`time` is the daemon's clock (Unix time), `memory_limit` bytes for all models, 0 before the first was loaded."""

    version: str
    time: float
    started: float
    queue: QueueLength
    memory: int
    memory_limit: int
    memory_pressure: Literal["normal", "warning", "critical"]
    loaded: list[LoadedModel]
    installed: list[InstalledModel]
    pulls: list[RunningPull]
    quarantined: list[HeldModel]


async def live_status(request: Request) -> HTTPResponse:
    """It is asked for every second or two, so its line in the log is of level DEBUG."""
    request.ctx.quiet = True
    context = serving(request)
    await context.residency.measure()
    installed = await store_threads.look(context.store.models)
    spellings = await store_threads.look(context.store.spellings)
    data = msgspec.json.encode(status(context, installed, spellings))
    return HTTPResponse(data, content_type="application/json; charset=utf-8")


def status(context: Context, installed: Sequence[Installed], spellings: Mapping[Name, str]) -> LiveStatus:
    residency, queue, most = context.residency, context.residency.queue, context.settings.engine.context_length
    residents = residency.resident()
    return LiveStatus(
        version=context.version,
        time=time.time(),
        started=context.started,
        queue=QueueLength(queue.running, queue.waiting, queue.limit),
        memory=sum(one.memory_bytes for one in residents),
        memory_limit=residency.memory_limit,
        memory_pressure=residency.pressure,
        loaded=[_loaded(one, spellings) for one in residents],
        installed=[_installed(one, spellings, most) for one in installed],
        pulls=[
            RunningPull(
                name=_subject(order),
                work="pull" if isinstance(order, PullOrder) else "quantize",
                status=progress.status if progress else "starting",
                completed=progress.overall_completed if progress else 0,
                total=progress.overall_total if progress else 0,
            )
            for order, progress in context.pulls.under_way()
        ],
        quarantined=[HeldModel(one.name, one.reason, one.until) for one in residency.quarantined()],
    )


def _loaded(one: Resident, spellings: Mapping[Name, str]) -> LoadedModel:
    gauges = one.gauges
    return LoadedModel(
        name=spellings.get(one.installed.name) or one.name,
        kind=one.installed.manifest.kind,
        backend=one.hello.backend,
        context_length=one.context_length,
        memory=one.memory_bytes,
        share=one.share_bytes,
        running=one.running,
        waiting=one.waiting,
        loaded_at=one.loaded_at,
        last_used=one.last_used,
        expires_at=one.expires_at,
        prompt_tokens=gauges.prompt_tokens,
        generated_tokens=gauges.generated_tokens,
        prefix_memory=gauges.prefix_bytes,
        prefix_disk=gauges.prefix_disk_bytes,
        prefix_hits=gauges.prefix_hits,
        prefix_tokens=gauges.prefix_tokens,
    )


def _installed(one: Installed, spellings: Mapping[Name, str], most: int | None) -> InstalledModel:
    manifest = one.manifest
    quantization = manifest.quantization
    return InstalledModel(
        id=spellings.get(one.name) or one.name.display(),
        kind=manifest.kind,
        size=one.size,
        parameters=manifest.parameters,
        quantization=None if quantization is None else f"{quantization.bits}-bit {quantization.mode}",
        context_length=one.context_length(most),
        capabilities=tuple(manifest.capabilities),
    )


def _subject(order: Order) -> str:
    """A model's name; of a folder of this machine only its own."""
    if not isinstance(order, PullOrder):
        return order.name
    if order.name:
        return order.name
    local = order.source.startswith(("/", ".", "~"))
    return order.source.rstrip("/").rpartition("/")[2] or order.source[:1] if local else order.source
