"""A fake daemon on a real socket in a thread, and the command run against it."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.control_daemon import FakeDaemon, Run
from support.waiting import GUARD

from mlx_serve.control.cli.client import Client

_PORTS = itertools.count(21001)  # names of sockets only: nothing listens on TCP here


@pytest.fixture
def home(short_path: Path) -> Path:
    """A short path, as a home's is: pytest's own would make the socket's path too long on some systems."""
    return short_path


@pytest.fixture
def daemon(home: Path) -> Iterator[FakeDaemon]:
    ready, over = threading.Event(), threading.Event()
    held: list[FakeDaemon] = []

    async def serve() -> None:
        held.append(FakeDaemon(home, next(_PORTS)))
        async with held[0].serving():
            ready.set()
            await asyncio.get_running_loop().run_in_executor(None, over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(GUARD)
    yield held[0]
    over.set()
    thread.join(GUARD)


@pytest.fixture
def client(daemon: FakeDaemon) -> Client:
    return Client(daemon.path, timeout=GUARD)


@pytest.fixture
def environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The command's surroundings: this home, no autostart, nothing of the tester's own settings."""
    for name in [name for name in os.environ if name.startswith("MLX_SERVE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLX_SERVE_HOME", str(home))
    monkeypatch.setenv("MLX_SERVE_NO_AUTOSTART", "1")
    return dict(os.environ)


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """The command as a process of its own; `typed` is what is piped in."""

    def command(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "mlx_serve", *arguments]
        return subprocess.run(
            line, input=typed, env=environment, capture_output=True, text=True, timeout=GUARD, check=False
        )

    return command
