"""Response bodies made from settings, store and residency. Read only."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...daemon import memory_pressure, process_memory
from ..socket import log_path, socket_path
from .response_bodies import (
    FileRow,
    LoadedModels,
    LoadedRow,
    Memory,
    ModelDetail,
    ModelRow,
    OpenRequests,
    QuarantinedRow,
    QueueRow,
    RequestRow,
    SettingRow,
    Status,
)

if TYPE_CHECKING:
    from ...daemon.context import Context
    from ...daemon.residency.lease import Resident
    from ...store.names import Name
    from ...store.store import Installed


def model_row(model: Installed, spellings: Mapping[Name, str]) -> ModelRow:
    manifest = model.manifest
    quantization = manifest.quantization
    return ModelRow(
        name=spellings.get(model.name) or model.name.display(),
        id=model.digest,
        size=model.size,
        kind=manifest.kind,
        modified=model.modified.isoformat(),
        architecture=manifest.architecture,
        parameters=manifest.parameters,
        quantization=None if quantization is None else f"{quantization.bits}-bit {quantization.mode}",
        context_length=manifest.context_length,
        capabilities=tuple(manifest.capabilities),
    )


def model_detail(
    model: Installed, spellings: Mapping[Name, str], residents: Sequence[Resident], settings: tuple[SettingRow, ...]
) -> ModelDetail:
    manifest = model.manifest
    resident = next((one for one in residents if one.installed.base == model.base), None)
    info = None if resident is None else resident.info
    return ModelDetail(
        model=model_row(model, spellings),
        kind_reason=manifest.kind_reason,
        dtype=manifest.dtype,
        embedding_length=manifest.embedding_length,
        created=manifest.created,
        parent=manifest.parent,
        source=f"{manifest.source.kind} {manifest.source.location}".strip(),
        revision=manifest.source.revision,
        files=tuple(FileRow(path=each.path, digest=each.digest, size=each.size) for each in manifest.layers),
        system=model.overrides.system,
        options=dict(model.overrides.parameters),
        settings=settings,
        reuse=None if info is None else info.reuse,
        file_bits=None if info is None else info.file_bits,
        prefix_disk=None if resident is None else resident.gauges.prefix_disk_bytes,
    )


def loaded_row(resident: Resident, spellings: Mapping[Name, str]) -> LoadedRow:
    return LoadedRow(
        name=spellings.get(resident.installed.name) or resident.name,
        id=resident.installed.digest,
        kind=resident.installed.manifest.kind,
        memory=resident.memory_bytes,
        share=resident.share_bytes,
        backend=resident.hello.backend,
        device=resident.hello.device,
        precision=resident.info.precision or None,
        context_length=resident.context_length,
        loaded_at=resident.loaded_at,
        last_used=resident.last_used,
        expires_at=resident.expires_at,
        running=resident.running,
        waiting=resident.waiting,
        pid=resident.pid,
        prefix_memory=resident.gauges.prefix_bytes,
        prefix_tokens=resident.gauges.prefix_tokens,
        prefix_disk=resident.gauges.prefix_disk_bytes,
        pinned=resident.pinned,
    )


def loaded_rows(context: Context, spellings: Mapping[Name, str]) -> tuple[LoadedRow, ...]:
    return tuple(loaded_row(resident, spellings) for resident in context.residency.resident())


def loaded_models(context: Context, spellings: Mapping[Name, str]) -> LoadedModels:
    quarantined = context.residency.quarantined()
    return LoadedModels(
        models=loaded_rows(context, spellings),
        quarantined=tuple(
            QuarantinedRow(name=one.name, id=one.digest, reason=one.reason, deaths=one.deaths, until=one.until)
            for one in quarantined
        ),
        requests=open_requests(context).requests,
    )


def open_requests(context: Context) -> OpenRequests:
    return OpenRequests(
        requests=tuple(
            RequestRow(
                id=one.id,
                endpoint=one.endpoint,
                model=one.model or one.asked,
                client=one.client,
                state=one.state,
                started_at=one.began_at,
                age=one.age,
                prompt_tokens=one.prompt_tokens,
                read_tokens=one.read_tokens,
                generated_tokens=one.generated_tokens,
            )
            for one in context.requests.all()
        )
    )


def url(host: str, port: int) -> str:
    """A URL that works on this machine; the unspecified addresses can be bound but not called."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, host)
    if ":" in reachable and not reachable.startswith("["):
        reachable = f"[{reachable}]"
    return f"http://{reachable}:{port}"


def memory() -> Memory:
    """Sizes from the system. Takes a few ms, so only `status` calls it."""
    system, me = process_memory.system(), os.getpid()
    sizes = [size for child in system.children(me) if (size := system.whole(child))]
    return Memory(daemon=system.whole(me), children=sum(sizes), processes=len(sizes))


def status(context: Context, sizes: Memory, spellings: Mapping[Name, str], installed: int) -> Status:
    settings, server, queue = context.settings, context.settings.server, context.residency.queue
    return Status(
        version=context.version,
        instance=context.instance,
        pid=os.getpid(),
        uptime_seconds=max(0.0, time.time() - context.started),
        url=url(server.host, server.port),
        host=server.host,
        port=server.port,
        home=str(settings.home),
        socket=str(socket_path(settings.home, server.port)),
        log=str(log_path(settings.home, server.port)),
        models_directory=str(settings.models.directory),
        read_only=context.store.read_only,
        installed=installed,
        draining=context.draining,
        drain_seconds=server.drain_seconds,
        memory=sizes,
        memory_pressure=context.residency.pressure,
        gpu_limit=memory_pressure.gpu_limit(),
        models=loaded_rows(context, spellings),
        queue=QueueRow(running=queue.running, waiting=queue.waiting, limit=queue.limit),
    )
