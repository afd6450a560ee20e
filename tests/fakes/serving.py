"""A daemon without models: the real HTTP layer and the real handlers over a small engine and a store in memory."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlx_serve.daemon.context import Context
from mlx_serve.daemon.http.app import build_app, serve
from mlx_serve.daemon.http.limits import Limits
from mlx_serve.daemon.metrics import Metrics
from mlx_serve.daemon.protocol import Accepted, Delta, Event, Finished, Gauges, Generate, Hello, Loaded
from mlx_serve.daemon.residency.lease import Queue, Resident
from mlx_serve.daemon.settings.schema import load_settings
from mlx_serve.daemon.tasks.pulls import Pulls
from mlx_serve.handlers.routes import register
from mlx_serve.store.disk.manifests import Layer, Manifest, Quantization, Source
from mlx_serve.store.errors import SourceError, UnknownModel
from mlx_serve.store.names import Name
from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Installed, Removed

MODEL = "acme/parrot"
PULLED = "sha256:" + "a" * 64
LARGE = 1 << 24
TOKENS = ["Hel", "lo", " wor", "ld"]


class FakeEngine:
    """Says TOKENS, or what `script` says; `hold` stops it before event `hold_at`; keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Generate] = []
        self.open = 0
        self.opened: asyncio.Queue[Generate] = asyncio.Queue()
        self.hold: asyncio.Event | None = None
        self.hold_at = 2
        self.script: Callable[[Generate], list[Event | Exception]] = speak

    async def generate(self, request: Generate) -> AsyncGenerator[Event]:
        self.requests.append(request)
        self.open += 1
        self.opened.put_nowait(request)
        try:
            for number, event in enumerate(self.script(request)):
                if number == self.hold_at and self.hold is not None:
                    await self.hold.wait()
                if isinstance(event, Exception):
                    raise event
                yield event
                await asyncio.sleep(0)
        finally:
            self.open -= 1


def finished(reason: str = "stop", tokens: int = 4, **more: Any) -> Finished:
    times = {"prefill_seconds": 0.25, "decode_seconds": 0.5}
    return Finished(id=1, reason=reason, prompt_tokens=7, completion_tokens=tokens, **(times | more))


def speak(request: Generate) -> list[Event | Exception]:
    if request.render_only:
        return [Accepted(id=1, prompt_tokens=7, rendered="<rendered>")]
    deltas = [Delta(id=1, text=text, tokens=index + 1) for index, text in enumerate(TOKENS)]
    return [Accepted(id=1, prompt_tokens=7), *deltas, finished(context=(1, 2, 3) if request.want_context else None)]


def says(*events: Event | Exception) -> Callable[[Generate], list[Event | Exception]]:
    """An engine that accepts, and then does exactly this."""
    return lambda request: [Accepted(id=1, prompt_tokens=7), *events]


def installed(name: str = MODEL, kind: str = "llm", day: int = 1) -> Installed:
    manifest = Manifest(
        source=Source(kind="local", location="x"),
        kind=kind,  # type: ignore[arg-type]
        kind_reason="a test",
        layers=(
            Layer(path="generation_config.json", digest="sha256:" + "1" * 64, size=30, media_type="json"),
            Layer(path="chat_template.jinja", digest="sha256:" + "2" * 64, size=9, media_type="jinja"),
            Layer(path="LICENSE", digest="sha256:" + "3" * 64, size=3, media_type="text"),
        ),
        architecture="qwen3",
        parameters=3_210_000_000,
        context_length=4096,
        embedding_length=64,
        quantization=Quantization(bits=4, group_size=64, mode="affine"),
        capabilities=("completion", "tools"),
        created="2026-01-01T00:00:00Z",
    )
    when = datetime(2026, 1, day, 12, 30, tzinfo=UTC)
    return Installed(name=Name.parse(name), digest=f"{day:064x}", manifest=manifest, modified=when, size=1234)


class FakeStore:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = {MODEL: installed(day=2), "acme/vectors": installed("acme/vectors", "embedding")}
        self.pulled: list[str] = []
        self.collected: list[object] = []
        self.hold_pull = self.fail_late = False
        self.pull_ended = threading.Event()

    def models(self) -> list[Installed]:
        return sorted(self.kept.values(), key=lambda model: model.modified, reverse=True)

    def find(self, text: str) -> Installed:
        name = Name.parse(text, default_owner="acme")
        for model in self.kept.values():
            if model.name == name:
                return model
        raise UnknownModel(text)

    def view(self, model: Installed, *, checked: bool = True) -> Path:
        (self.folder / "generation_config.json").write_text('{"temperature":0.6,"top_k":20}')
        (self.folder / "chat_template.jinja").write_text("{{hello}}")
        (self.folder / "LICENSE").write_text("MIT")
        return self.folder

    def copy(self, source: str, destination: str) -> Installed:
        model = replace(self.find(source), name=Name.parse(destination))
        self.kept[destination] = model
        return model

    def remove(self, name: str, protect: object = ()) -> Removed:
        gone = self.find(name)
        self.kept = {key: model for key, model in self.kept.items() if str(model.name) != name}
        return Removed(gone.name, gone.digest)

    def gc(self, dry_run: bool = False, protect: object = ()) -> None:
        self.collected.append(protect)

    def pull(self, source: str, *, progress: Callable[[Progress], None], **options: object) -> Installed:
        try:
            return self._pull(source, progress)
        finally:
            self.pull_ended.set()

    def _pull(self, source: str, progress: Callable[[Progress], None]) -> Installed:
        self.pulled.append(source)
        if self.fail_late:
            progress(Progress("downloading", PULLED, "model.safetensors", 5, 10))
        if source != "starter":
            raise SourceError(f"there is no model at /home/somebody/secret/{source}", hint="pull a built-in: starter")
        progress(Progress("checking files"))
        progress(Progress("copying", None, "config.json", 5, 10))
        progress(Progress("copying", None, "model.safetensors", 5, LARGE))
        while self.hold_pull:
            progress(Progress("copying", None, "model.safetensors", 6, LARGE))
        progress(Progress("stored", PULLED, "model.safetensors", 10, 10))
        progress(Progress("success"))
        return installed()


@dataclass
class FakeModel:
    installed: Installed
    engine: FakeEngine
    info: Loaded
    load_seconds: float = 0.125

    def generate(self, request: Generate) -> AsyncGenerator[Event]:
        return self.engine.generate(request)


def resident(model: Installed, info: Loaded, expires_at: float | None) -> Resident:
    hello = Hello(protocol=1, pid=1, backend="cpu", device="cpu", device_memory=1)
    name, memory, moment = model.name.display(), 777, 1_800_000_000.0
    return Resident(name, model, info, hello, memory, moment, moment, expires_at, 0, 0, 1, Gauges())


class FakeResidency:
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
        self.leases = 0
        self.idle = asyncio.Event()
        self.keep_alive: list[float | None] = []
        self.loaded: list[str] = []
        self.unloaded: list[str] = []

    @asynccontextmanager
    async def use(self, name: str, *, keep_alive: float | None = None) -> AsyncGenerator[FakeModel]:
        if self.failure is not None:
            raise self.failure
        self.keep_alive.append(keep_alive)
        found = self.store.find(name)
        self.loaded.append(name)
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

    async def unload(self, name: str) -> bool:
        self.unloaded.append(name)
        return True

    async def put_out(self, model: Installed) -> bool:
        return await self.unload(str(model.name))

    @property
    def in_use(self) -> set[str]:
        return {installed().digest}

    @property
    def queue(self) -> Queue:
        return Queue(running=0, waiting=0, limit=256)

    def resident(self) -> list[Resident]:
        return [
            resident(self.store.find(MODEL), self.info, 1_900_000_000.0),
            resident(self.store.find(MODEL), self.info, None),
        ]


@dataclass
class Serving:
    """A daemon that listens; `url` without a slash at its end."""

    port: int
    engine: FakeEngine
    store: FakeStore
    residency: FakeResidency
    metrics: Metrics
    context: Context
    app: Any = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def left(self) -> None:
        """Wait until the one request has given its lease back; no generation may be open then."""
        async with asyncio.timeout(5):
            await self.residency.idle.wait()
        assert self.engine.open == 0


@asynccontextmanager
async def daemon(
    folder: Path, *, control: bool = False, limits: Limits | None = None, **server: Any
) -> AsyncGenerator[Serving]:
    """`server` are settings of that section."""
    settings = load_settings({}, {"MLX_SERVE_HOME": str(folder / "home")})
    settings = replace(settings, server=replace(settings.server, **server))
    engine, store = FakeEngine(), FakeStore(folder)
    residency, metrics = FakeResidency(store, engine), Metrics(True)
    quantizing: Any = None
    context = Context(
        settings,
        store,  # type: ignore[arg-type]
        residency,  # type: ignore[arg-type]
        metrics,
        0.0,
        "0.4.2.dev1+g123",
        pulls=Pulls(store, quantizing),  # type: ignore[arg-type]
        quantizing=quantizing,
    )
    app = build_app("control" if control else "public", context, control=control, limits=limits)
    register(app, control=control)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    server_ = await serve(app, sock)
    try:
        yield Serving(sock.getsockname()[1], engine, store, residency, metrics, context, app)
    finally:
        server_.stop_listening()
        server_.abort()
        await server_.finished(5)
        await context.pulls.close()


async def raw(
    serving: Serving, path: str, document: dict[str, object]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
    data = json.dumps(document).encode()
    writer.write(
        b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(data), data)
    )
    return reader, writer
