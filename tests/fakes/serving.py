"""A daemon without models: the real HTTP layer and the real handlers over a small engine and a store in memory."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fakes.engine import FakeEngine
from fakes.residency import FakeResidency
from fakes.store import DIGEST, WEIGHTS, FakeStore, installed
from support.waiting import GUARD

from mlx_serve.daemon.context import Context
from mlx_serve.daemon.fetching.fetcher import Fetcher
from mlx_serve.daemon.http.app import build_app
from mlx_serve.daemon.http.limits import ConnectionLimits
from mlx_serve.daemon.http.server import serve
from mlx_serve.daemon.metrics import Metrics
from mlx_serve.daemon.settings.effective_settings import load_settings
from mlx_serve.daemon.settings.schema import Settings
from mlx_serve.daemon.tasks.pulls import Pulls
from mlx_serve.daemon.tasks.quantizing import QuantizeOrder
from mlx_serve.handlers.health import sample
from mlx_serve.handlers.routes import register
from mlx_serve.store.disk.manifests import Layer, Quantization
from mlx_serve.store.errors import SourceError
from mlx_serve.store.installed import Installed
from mlx_serve.store.progress import Progress, Report

MODEL = "acme/parrot"
LARGE = 1 << 24


def pulled(source: str) -> Iterator[Progress | Exception]:
    """What a pull reports: there is no `nothing`, `breaks` fails on the way, `slow` goes on until it is stopped."""
    if source == "nothing":
        yield SourceError("there is no model at /home/somebody/secret/nothing", hint="pull a built-in: starter")
    for done in range(0, 101, 25):
        yield Progress("copying", path=WEIGHTS, completed=done * 1000, total=100_000)
    yield Progress("stored", DIGEST, WEIGHTS, completed=100_000, total=100_000)
    if source == "breaks":
        yield SourceError("the folder went away", hint="plug the disk in")
    while source == "slow":
        yield Progress("copying", path="endless.safetensors", completed=1, total=LARGE)
        time.sleep(0.001)
    yield Progress("success")


CONTENTS = {
    "generation_config.json": '{"temperature":0.6,"top_k":20}',
    "chat_template.jinja": "{{hello}}",
    "LICENSE": "MIT",
}
PARROT = installed(
    MODEL,
    day=2,
    layers=tuple(
        Layer(path=path, digest=f"sha256:{number:064x}", size=len(text), media_type="text")
        for number, (path, text) in enumerate(CONTENTS.items())
    ),
    parameters=3_210_000_000,
    quantization=Quantization(bits=4, group_size=64, mode="affine"),
    capabilities=("completion", "tools", "thinking"),
)


class FakeQuantizing:
    """Half way through at once, then done; `orders` is what was asked of it."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.orders: list[QuantizeOrder] = []

    async def run(self, order: QuantizeOrder, report: Report) -> Installed:
        self.orders.append(order)
        source = self.store.find(order.name)
        report(Progress("quantizing", overall_completed=750_000, overall_total=1_500_000))
        return self.store.add(order.target or f"{source.name.display()}-{order.bits}bit")


@dataclass
class Fakes:
    """Everything behind the daemon's HTTP, and the real Context of it."""

    engine: FakeEngine
    store: FakeStore
    residency: FakeResidency
    quantizing: FakeQuantizing
    metrics: Metrics
    context: Context


def fakes(
    settings: Settings, folder: Path, *models: Installed, residency_type: type[FakeResidency] = FakeResidency
) -> Fakes:
    """`folder` is for the files of the models."""
    store = FakeStore(*models, folder=folder, contents=CONTENTS, script=pulled)
    engine, quantizing, metrics = FakeEngine(), FakeQuantizing(store), Metrics(True)
    residency = residency_type(store, engine)
    context = Context(
        settings,
        store,  # type: ignore[arg-type]
        residency,  # type: ignore[arg-type]
        metrics,
        time.time() - 3700,
        "0.4.2.dev1+g123",
        pulls=Pulls(store, quantizing, lambda: residency.in_use),  # type: ignore[arg-type]
        quantizing=quantizing,  # type: ignore[arg-type]
        fetcher=Fetcher(private=settings.models.fetch_private_images, version="0.4.2"),
    )
    return Fakes(engine, store, residency, quantizing, metrics, context)


@dataclass
class Serving(Fakes):
    """A daemon that listens on a TCP port; `url` without a slash at its end."""

    port: int
    app: Any = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def scrape(self) -> bytes:
        """The metrics, as they stand now."""
        return self.metrics.render(sample(self.context))

    async def left(self) -> None:
        """Wait until the one request has given its lease back; no generation may be open then."""
        async with asyncio.timeout(GUARD):
            await self.residency.idle.wait()
        assert self.engine.open == 0


@asynccontextmanager
async def daemon(
    folder: Path, *, control: bool = False, limits: ConnectionLimits | None = None, **server: Any
) -> AsyncGenerator[Serving]:
    """`server` are settings of that section."""
    settings = load_settings({}, {"MLX_SERVE_HOME": str(folder / "home")})
    settings = replace(settings, server=replace(settings.server, **server))
    made = fakes(settings, folder, PARROT, installed("acme/vectors", kind="embedding"))
    app = build_app("control" if control else "public", made.context, control=control, limits=limits)
    register(app, control=control)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    server_ = await serve(app, sock)
    try:
        yield Serving(**vars(made), port=sock.getsockname()[1], app=app)
    finally:
        server_.stop_listening()
        server_.abort()
        await server_.finished(5)
        await made.context.pulls.close()


async def raw(
    serving: Serving, path: str, document: dict[str, object], *, version: bytes = b"1.1"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
    data = json.dumps(document).encode()
    writer.write(
        b"POST %b HTTP/%b\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
        % (path.encode(), version, len(data), data)
    )
    return reader, writer
