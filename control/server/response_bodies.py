"""What the control API answers: the bodies of its responses. Sizes are bytes, times Unix seconds unless stated."""

from __future__ import annotations

from typing import Any

import msgspec

from ...daemon.protocol import Kind, Reuse
from ...daemon.requests.open_request import RequestState


class ResponseBody(msgspec.Struct, frozen=True):
    """A response's body."""


class ModelRow(ResponseBody, frozen=True):
    """One installed model in a list. `modified` is RFC 3339; `id` the manifest's digest in hex."""

    name: str
    id: str
    size: int
    kind: Kind
    modified: str
    architecture: str
    parameters: int
    quantization: str | None
    context_length: int | None
    capabilities: tuple[str, ...]


class InstalledModels(ResponseBody, frozen=True):
    models: tuple[ModelRow, ...]


class FileRow(ResponseBody, frozen=True):
    path: str
    digest: str
    size: int


class SettingRow(ResponseBody, frozen=True):
    """One setting of one model: its value here, and where that comes from."""

    name: str
    value: Any
    origin: str


class ModelDetail(ResponseBody, frozen=True):
    """`system` and `options` (Ollama's names) are what requests get that say nothing; `settings` the same and more
    under the settings' names, with the origins. `reuse`: from where prompts that were read before go on; None while the
    model is not in memory. `file_bits`: of their keys and values in files, where they are packed there, and
    `prefix_disk`: bytes of these files."""

    model: ModelRow
    kind_reason: str
    dtype: str | None
    embedding_length: int | None
    created: str
    parent: str | None
    source: str
    revision: str | None
    files: tuple[FileRow, ...]
    system: str | None
    options: dict[str, Any]
    settings: tuple[SettingRow, ...]
    reuse: Reuse | None
    file_bits: int | None
    prefix_disk: int | None


class LoadedRow(ResponseBody, frozen=True):
    """One loaded model; `expires_at` None means never. A `pinned` one stays whatever requests ask for. `memory` is what
    its process holds, `share` what it may hold. `precision` in which it computes, where that is not the one of its
    files: None otherwise. `prefix_memory` bytes of that are prompts that were read before, from which `prefix_tokens`
    were not read again; `prefix_disk` bytes of them are in files."""

    name: str
    id: str
    kind: Kind
    memory: int
    share: int
    backend: str
    device: str
    precision: str | None
    context_length: int
    loaded_at: float
    last_used: float
    expires_at: float | None
    running: int
    waiting: int
    pid: int
    prefix_memory: int
    prefix_tokens: int
    prefix_disk: int
    pinned: bool


class QuarantinedRow(ResponseBody, frozen=True):
    """A model that is not loaded until then, because its processes died."""

    name: str
    id: str
    reason: str
    deaths: int
    until: float


class RequestRow(ResponseBody, frozen=True):
    """One request that waits for a model or is served by one. `model` is its installed name, or what the client asked
    for while that is not known; `client` its address, empty on the Unix socket; `age` in seconds; tokens so far, those
    of all choices together, and of the prompt those that are read, which of a short one is told at its end."""

    id: str
    endpoint: str
    model: str
    client: str
    state: RequestState
    started_at: float
    age: float
    prompt_tokens: int
    read_tokens: int
    generated_tokens: int


class OpenRequests(ResponseBody, frozen=True):
    """The oldest first."""

    requests: tuple[RequestRow, ...]


class CancelResult(ResponseBody, frozen=True):
    """`cancelled` counts the requests that had this id: clients may choose it."""

    id: str
    cancelled: int


class LoadedModels(ResponseBody, frozen=True):
    models: tuple[LoadedRow, ...]
    quarantined: tuple[QuarantinedRow, ...]
    requests: tuple[RequestRow, ...]


class Memory(ResponseBody, frozen=True):
    """Memory of the daemon, and of all its child processes: resident sizes, on macOS footprints."""

    daemon: int
    children: int
    processes: int


class QueueRow(ResponseBody, frozen=True):
    running: int
    waiting: int
    limit: int


class Status(ResponseBody, frozen=True):
    """`instance`: what `/healthz` answers in its header at `url`, unless another program has taken the address.
    `memory_pressure`: normal, warning or critical, as the system said last; `gpu_limit`: bytes of a Mac's memory
    that `iogpu.wired_limit_mb` allows the GPU, None where it is not set."""

    version: str
    instance: str
    pid: int
    uptime_seconds: float
    url: str
    host: str
    port: int
    home: str
    socket: str
    log: str
    models_directory: str
    read_only: bool
    installed: int
    draining: bool
    drain_seconds: float
    memory: Memory
    memory_pressure: str
    gpu_limit: int | None
    models: tuple[LoadedRow, ...]
    queue: QueueRow


class Key(ResponseBody, frozen=True):
    key: str | None


class ModelRef(ResponseBody, frozen=True):
    name: str
    id: str


class UnloadResult(ResponseBody, frozen=True):
    name: str
    unloaded: bool


class PullLine(ResponseBody, frozen=True, omit_defaults=True):
    """One line of the stream of a pull or a quantization, as in `store.progress`; the last one names the model."""

    status: str
    digest: str | None = None
    path: str | None = None
    completed: int = 0
    total: int = 0
    overall_completed: int = 0
    overall_total: int = 0
    fetched: int = 0
    name: str | None = None
    id: str | None = None
    size: int = 0


class VerifyLine(ResponseBody, frozen=True, omit_defaults=True):
    """Progress in bytes of the whole run; with `ok`, the result of one file; the last line, with status `done`, counts
    all files and the bad ones."""

    status: str
    name: str | None = None
    path: str | None = None
    digest: str | None = None
    completed: int = 0
    total: int = 0
    ok: bool | None = None
    problem: str | None = None
    files: int = 0
    bad: int = 0


class GcResult(ResponseBody, frozen=True):
    """`bytes` of blobs. `prompts`: files of prompts that were read before, `prompt_bytes` in all."""

    blobs: int
    bytes: int
    partials: int
    prompts: int
    prompt_bytes: int
    dry_run: bool


class Reloaded(ResponseBody, frozen=True):
    """`changed`: settings whose new value holds now; `restart`: those whose new value needs a restart; `load`: models
    in memory whose context is another one from their next load on; `ineffective`: what does nothing of
    `models.settings`, by name, each with the rest of the sentence that begins with the setting."""

    changed: tuple[str, ...]
    restart: tuple[str, ...]
    load: tuple[str, ...]
    ineffective: dict[str, str]
    file: str | None


class LogLine(ResponseBody, frozen=True):
    line: str


class ShutdownResult(ResponseBody, frozen=True):
    status: str
    pid: int


class ErrorDetail(ResponseBody, frozen=True, omit_defaults=True):
    message: str
    hint: str | None = None
    pullable: bool = False


class ErrorResponse(ResponseBody, frozen=True):
    error: ErrorDetail
