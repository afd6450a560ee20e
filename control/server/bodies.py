"""What the control API takes and gives, as types. Sizes are in bytes, times Unix seconds unless said."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec
from sanic.request import Request

from ...daemon.protocol import Kind

Mode = Literal["affine", "mxfp4", "nvfp4", "mxfp8"]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request's body. Unknown fields are refused: the command and the daemon come from one package."""


class PullBody(Body, frozen=True):
    source: str
    type: Kind | None = None
    name: str | None = None
    revision: str | None = None
    quantize: int | None = None
    mode: Mode | None = None
    group_size: int | None = None
    keep_source: bool = False
    token: str | None = None


class QuantizeBody(Body, frozen=True):
    """`target`: the result's name; None: the model's, with the precision behind it."""

    name: str
    bits: int | None = None
    mode: Mode | None = None
    group_size: int | None = None
    target: str | None = None


class CopyBody(Body, frozen=True):
    source: str
    destination: str


class LoadBody(Body, frozen=True):
    name: str
    keep_alive: float | None = None


class NameBody(Body, frozen=True):
    name: str


class VerifyBody(Body, frozen=True):
    name: str | None = None


class GcBody(Body, frozen=True):
    dry_run: bool = False


class ShutdownBody(Body, frozen=True):
    force: bool = False


B = TypeVar("B", bound=Body)


class BadBody(Exception):
    """The body is no JSON or not of the route's type; `str()` names the field."""


def parse(request: Request, kind: type[B]) -> B:
    """The typed body; no body at all means every default. Raises BadBody."""
    try:
        return msgspec.json.decode(request.body or b"{}", type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadBody(f"the request's body cannot be used: {error}") from error


class Answer(msgspec.Struct, frozen=True):
    """An answer's body."""


class ModelRow(Answer, frozen=True):
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


class Models(Answer, frozen=True):
    models: tuple[ModelRow, ...]


class FileRow(Answer, frozen=True):
    path: str
    digest: str
    size: int


class ModelDetail(Answer, frozen=True):
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


class LoadedRow(Answer, frozen=True):
    """One model in memory; `expires_at` None means for ever."""

    name: str
    id: str
    kind: Kind
    memory: int
    backend: str
    device: str
    context_length: int
    loaded_at: float
    last_used: float
    expires_at: float | None
    running: int
    waiting: int
    pid: int


class Loaded(Answer, frozen=True):
    models: tuple[LoadedRow, ...]


class Memory(Answer, frozen=True):
    """Resident memory of the daemon, and of its child processes together."""

    daemon: int
    children: int
    processes: int


class QueueRow(Answer, frozen=True):
    running: int
    waiting: int
    limit: int


class Status(Answer, frozen=True):
    version: str
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
    models: tuple[LoadedRow, ...]
    queue: QueueRow


class Named(Answer, frozen=True):
    name: str
    id: str


class Unloaded(Answer, frozen=True):
    name: str
    unloaded: bool


class PullLine(Answer, frozen=True, omit_defaults=True):
    """One line of a pull's or a quantization's stream, as in `store.progress`; the last one names the model."""

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


class VerifyLine(Answer, frozen=True, omit_defaults=True):
    """How far the check is, in bytes of the whole run; with `ok`, what came of one file; last, with status `done`, how
    many files and how many bad."""

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


class GcAnswer(Answer, frozen=True):
    blobs: int
    bytes: int
    partials: int
    dry_run: bool


class LogLine(Answer, frozen=True):
    line: str


class Stopping(Answer, frozen=True):
    status: str
    pid: int


class ErrorText(Answer, frozen=True, omit_defaults=True):
    message: str
    hint: str | None = None
    pullable: bool = False


class ErrorAnswer(Answer, frozen=True):
    error: ErrorText
