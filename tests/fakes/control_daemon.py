"""A daemon without models: the real control API over a fake store and a fake residency, on a real Unix socket.

`python fake_control_daemon.py --port P` runs it as a process of its own, with the flags and manners of the real one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sanic import Sanic
from sanic.request import Request
from sanic.response import HTTPResponse
from sanic.response import json as json_response

from mlx_serve.control.server import api
from mlx_serve.control.socket import SocketInUse, bind, socket_path
from mlx_serve.daemon.protocol import Hello, Loaded
from mlx_serve.daemon.settings.schema import load_settings
from mlx_serve.daemon.tasks.pulls import Pulls
from mlx_serve.store.disk.manifests import Layer, Manifest, Source
from mlx_serve.store.errors import SourceError, UnknownModel
from mlx_serve.store.names import Name
from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Installed


def installed(text: str, kind: Any = "llm", digest: str = "b" * 64) -> Installed:
    layer = Layer(path="model.safetensors", digest=f"sha256:{'a' * 64}", size=1_500_000, media_type="weights")
    manifest = Manifest(
        source=Source(kind="local", location="/somewhere/tiny"),
        kind=kind,
        kind_reason="architecture",
        layers=(layer,),
        architecture="qwen3",
        parameters=596_000_000,
        context_length=4096,
        created="2026-01-02T03:04:05Z",
        capabilities=("completion",),
    )
    return Installed(Name.parse(text), digest, manifest, datetime.now(UTC), 1_500_000)


@dataclass
class FakeStore:
    """Holds names in a dict; `starter` can be pulled, and the source `slow` reports progress until it is stopped."""

    read_only: bool = False
    held: dict[str, Installed] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)
    stopped: threading.Event = field(default_factory=threading.Event)
    pulls: list[tuple[str, str | None, str | None, str | None]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    residency: FakeResidency | None = None

    def models(self) -> list[Installed]:
        return list(self.held.values())

    def find(self, text: str) -> Installed:
        name = Name.parse(text)
        for model in self.held.values():
            if name in (model.name, Name(LOCAL, model.name.model)) or name.model == model.name.model:
                return model
        raise UnknownModel(text, hint="see what is installed: mlx-serve list")

    def copy(self, source: str, destination: str) -> Installed:
        made = installed(destination)
        self.find(source)
        self.held[str(made.name)] = made
        return made

    def remove(self, name: str, protect: Any = ()) -> Installed:
        self.protected = set(protect)
        return self.held.pop(str(self.find(name).name))

    def gc(self, dry_run: bool = False, protect: Any = ()) -> Any:
        return SimpleNamespace(blobs=2, bytes=3_000_000, partials=1)

    def verify(self, name: str | None, progress: Callable[[int, int], None]) -> Iterator[Any]:
        models = [self.find(name)] if name else self.models()
        for number, model in enumerate(models, 1):
            progress(number * 10 - 5, len(models) * 10)
            bad = model.name.model == "damaged"
            yield SimpleNamespace(
                name=model.name.display(),
                path="model.safetensors",
                digest=f"sha256:{'a' * 64}",
                done_bytes=number * 10,
                total_bytes=len(models) * 10,
                ok=not bad,
                problem="its bytes have changed" if bad else None,
            )

    def pull(
        self,
        source: str,
        *,
        kind: Any = None,
        name: str | None = None,
        revision: str | None = None,
        token: str | None = None,
        progress: Callable[[Progress], None],
    ) -> Installed:
        self.pulls.append((source, kind, name, revision))
        self.tokens.append(token)
        if source == "nothing":
            raise SourceError("there is no model in nothing", hint="pull a folder")
        try:
            for done in range(0, 101, 25):
                progress(Progress("copying", path="model.safetensors", completed=done * 1000, total=100_000))
            progress(Progress("stored", path="model.safetensors", completed=100_000, total=100_000))
            if source == "breaks":
                raise SourceError("the folder went away", hint="plug the disk in")
            while source == "slow":
                progress(Progress("copying", path="endless.safetensors", completed=1, total=100))
                time.sleep(0.001)
        except BaseException:
            self.stopped.set()
            raise
        model = installed(name or f"mlx-serve/{source.rpartition('/')[2]}", kind or "llm")
        self.held[str(model.name)] = model
        return model


LOCAL = "local"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass
class FakeResidency:
    store: FakeStore
    loaded: dict[str, Any] = field(default_factory=dict)
    unloads: list[str] = field(default_factory=list)
    queue: Any = field(default_factory=lambda: SimpleNamespace(running=0, waiting=0, limit=256))

    async def load(self, name: str, *, keep_alive: float | None = None) -> Any:
        model = self.store.find(name)
        now = time.time()
        row = SimpleNamespace(
            name=model.name.display(),
            installed=model,
            info=Loaded(weight_bytes=1, kv_bytes_per_token=1, context_length=4096, vocabulary=10, batchable=True),
            hello=Hello(protocol=1, pid=1, backend="cpu", device="cpu", device_memory=1),
            memory_bytes=2_000_000,
            loaded_at=now,
            last_used=now - 90,
            expires_at=None if keep_alive is not None and keep_alive < 0 else now + 1801,
            running=0,
            waiting=0,
            pid=1,
        )
        self.loaded[str(model.name)] = row
        return row

    async def unload(self, name: str) -> bool:
        self.unloads.append(name)
        return self.loaded.pop(name, None) is not None

    async def put_out(self, model: Installed) -> bool:
        return await self.unload(str(model.name))

    @property
    def in_use(self) -> set[str]:
        return {row.installed.digest for row in self.loaded.values()}

    def resident(self) -> list[Any]:
        return list(self.loaded.values())


@dataclass
class FakeQuantizing:
    """Half way through at once, then done; `orders` is what was asked of it."""

    store: FakeStore
    orders: list[Any] = field(default_factory=list)

    async def run(self, order: Any, report: Callable[[Progress], None]) -> Installed:
        self.orders.append(order)
        source = self.store.find(order.name)
        report(Progress("quantizing", overall_completed=750_000, overall_total=1_500_000))
        made = installed(order.target or f"{source.name.display()}-{order.bits}bit", digest="c" * 64)
        self.store.held[str(made.name)] = made
        return made


class FakeDaemon:
    """The app, its fakes, and what it saw: `chats` are the bodies of /api/chat, `hung_up` those that were cut off."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.port = home, port
        self.path = socket_path(home, port)
        self.store = FakeStore()
        self.residency = self.store.residency = FakeResidency(self.store)
        self.quantizing = FakeQuantizing(self.store)
        self.chats: list[dict[str, Any]] = []
        self.hung_up = threading.Event()
        self.shutdowns: list[bool] = []
        self.asked_to_stop = threading.Event()
        self.ended = asyncio.Event()
        self.context = SimpleNamespace(
            settings=load_settings({"server.port": port}, {"MLX_SERVE_HOME": str(home)}),
            store=self.store,
            residency=self.residency,
            metrics=None,
            started=time.time() - 3700,
            version="9.9.9",
            draining=False,
            pulls=Pulls(self.store, self.quantizing),  # type: ignore[arg-type]
            quantizing=self.quantizing,
        )

    def app(self) -> Sanic:
        app = Sanic(f"fake{self.port}", configure_logging=False)
        app.config.TOUCHUP = False
        app.ctx.serving = self.context
        app.ctx.shutdown = self._shutdown
        api.register(app)
        app.add_route(self._chat, "/api/chat", methods=["POST"])
        app.add_route(self._show, "/api/show", methods=["POST"])
        return app

    def _shutdown(self, force: bool) -> None:
        self.shutdowns.append(force)
        self.asked_to_stop.set()
        self.ended.set()

    async def _show(self, request: Request) -> HTTPResponse:
        return json_response({"details": {"family": "qwen3"}, "capabilities": ["completion"], "template": "{{ x }}"})

    async def _chat(self, request: Request) -> HTTPResponse | None:
        body = json.loads(request.body)
        self.chats.append(body)
        if not body["messages"]:
            return json_response({"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "load"})
        prompt = body["messages"][-1]["content"]
        if prompt == "refuse":
            return json_response({"error": '"tiny" does not support chat'}, status=400)
        response = await request.respond(content_type="application/x-ndjson")
        assert response is not None

        async def say(content: str, **more: Any) -> None:
            message = {"role": "assistant", "content": content, **more}
            await response.send(json.dumps({"model": "m", "message": message, "done": False}) + "\n")

        if prompt.startswith("think"):
            await say("", thinking="hmm, ")
            await say("", thinking="well")
        await say("You said: ")
        try:
            while prompt == "endless":
                await say("on ")
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.hung_up.set()
            raise
        if prompt == "die":
            assert request.transport is not None
            request.transport.abort()
            return None
        await say(prompt)
        if prompt == "fail":
            await response.send(json.dumps({"error": "the model's process ended"}) + "\n")
        else:
            counts = {"total_duration": 2_000_000_000, "prompt_eval_count": 26, "prompt_eval_duration": 500_000_000}
            last = {"message": {"role": "assistant", "content": ""}, "done": True, "eval_count": 30, **counts}
            await response.send(json.dumps({**last, "eval_duration": 1_500_000_000}) + "\n")
        await response.eof()
        return None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = self.app()
        server = await app.create_server(
            sock=bind(self.path),
            return_asyncio_server=True,
            access_log=False,
            asyncio_server_kwargs={"start_serving": True},
        )
        assert server is not None
        await server.startup()
        await server.before_start()
        await server.after_start()
        try:
            yield
        finally:
            self.path.unlink(missing_ok=True)
            server.close()
            for connection in list(server.connections):
                connection.abort() if hasattr(connection, "abort") else connection.close()
            await server.after_stop()


async def run(home: Path, port: int) -> None:
    daemon = FakeDaemon(home, port)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, daemon.ended.set)
    async with daemon.serving():
        await daemon.ended.wait()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--host")
    parser.add_argument("--log-level")
    options = parser.parse_args()
    if options.host == "nowhere":
        sys.stderr.write("mlx-serve: server.host nowhere is not an address of this machine\n")
        return 1
    import os

    try:
        asyncio.run(run(Path(os.environ["MLX_SERVE_HOME"]), options.port))
    except SocketInUse as error:
        sys.stderr.write(f"mlx-serve: {error}\n")
        return 75
    return 0


if __name__ == "__main__":
    sys.exit(main())
