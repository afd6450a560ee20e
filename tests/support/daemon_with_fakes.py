"""The real daemon as a process of its own, over fakes of the store and the residency, with a few routes that misbehave.

Run as a script with the daemon's flags. `PATHS` below are what tests may ask of it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes.residency import FakeResidency
from fakes.serving import fakes
from sanic import text

from mlx_serve.daemon import main as daemon
from mlx_serve.daemon.context import Context
from mlx_serve.daemon.keep_awake import KeepAwake
from mlx_serve.daemon.settings.schema import Settings
from mlx_serve.store.installed import Installed

PATHS = ("/test/stream?seconds=S", "/test/stuck", "/test/block?until=FIFO", "/test/frozen")


class NotedResidency(FakeResidency):
    """Writes what is asked of it into the file that $NOTES names; a model named bad does not load."""

    async def start(self) -> None:
        note("residency started")

    async def find(self, name: str) -> Installed:
        note(f"preload {name}")
        if name == "bad":
            raise ValueError("no such model")
        self.store.add(name)
        return await super().find(name)

    async def close(self, drain_seconds: float = 0.0) -> None:
        note("residency closed")


class NotedKeepAwake(KeepAwake):
    async def close(self) -> None:
        note("may sleep")


def note(text: str) -> None:
    if path := os.environ.get("NOTES"):
        with open(path, "a") as file:
            file.write(text + "\n")


def make(settings: Settings, started: float) -> Context:
    context = fakes(settings, settings.home / "views", residency_type=NotedResidency).context
    context.started = started
    context.keep_awake = NotedKeepAwake()
    return context


def with_test_routes(build: Any) -> Any:
    def built(context: Context, stop: Any) -> Any:
        public, control = build(context, stop)
        for app in (public, control):
            app.add_route(stream, "/test/stream", methods=["GET"])
            app.add_route(stuck, "/test/stuck", methods=["GET"])
            app.add_route(block, "/test/block", methods=["GET"])
            app.add_route(frozen, "/test/frozen", methods=["GET"])
        return public, control

    return built


async def frozen(request: Any) -> Any:
    """How many objects the collector passes over, and how many it looks at."""
    return text(f"{gc.get_freeze_count()} {len(gc.get_objects())}")


async def stream(request: Any) -> None:
    """A line every 50 ms for so many seconds."""
    out = await request.respond(content_type="application/x-ndjson")
    async for line in ticks(float(request.args.get("seconds"))):
        await out.send(line)
    await out.eof()


async def ticks(seconds: float) -> AsyncIterator[str]:
    for number in range(round(seconds / 0.05)):
        yield f'{{"n":{number}}}\n'
        await asyncio.sleep(0.05)


async def stuck(request: Any) -> None:
    """A handler that ignores being cancelled for longer than the daemon waits."""
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(3600)


async def block(request: Any) -> Any:
    """A handler in which the whole event loop stands still, until somebody writes to the FIFO."""
    Path(request.args.get("until")).read_bytes()
    return text("over")


if __name__ == "__main__":
    daemon.build_apps = with_test_routes(daemon.build_apps)
    code = daemon.main(sys.argv[1:], make=make)
    sys.stdout.flush()
    os._exit(code)
