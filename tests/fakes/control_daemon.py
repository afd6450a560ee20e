"""The daemon of fakes on its Unix socket, whose engine answers a prompt with the prompt itself."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fakes.engine import finished
from fakes.serving import fakes

from mlx_serve.control.server import api
from mlx_serve.control.socket import bind, socket_path
from mlx_serve.daemon.errors import RequestRejected, RunnerDied
from mlx_serve.daemon.http.app import build_app
from mlx_serve.daemon.http.server import Server, serve
from mlx_serve.daemon.protocol import Accepted, ChatPrompt, Delta, Event, Generate, Reading, Started
from mlx_serve.daemon.settings.effective_settings import load_settings
from mlx_serve.handlers.routes import register

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _told(parts: list[dict[str, str]]) -> str:
    """What a message with pictures says."""
    texts = [part["text"] for part in parts if part["type"] == "text"]
    return f"{''.join(texts)} [{len(parts) - len(texts)} pictures]"


class FakeDaemon:
    """`chats` are the bodies of /api/chat; `shutdowns` says for each request to stop whether it was forced.

    Prompts that are more than words: think…, endless, slow (read until `read` is set), half (likewise, of which half is
    read), and refuse, fail, die for the ways in which an answer ends badly.
    """

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.port = home, port
        self.path = socket_path(home, port)
        made = fakes(load_settings({"server.port": port}, {"MLX_SERVE_HOME": str(home)}), home / "views")
        self.engine, self.store, self.residency = made.engine, made.store, made.residency
        self.quantizing, self.context = made.quantizing, made.context
        self.engine.script = self._answer
        self.engine.pause = 0.01
        self.chats: list[dict[str, Any]] = []
        self.shutdowns: list[bool] = []
        self.read = threading.Event()
        self.asked_to_stop = threading.Event()
        self._server: Server | None = None

    def _answer(self, request: Generate) -> Iterator[Event | Exception]:
        assert isinstance(request.prompt, ChatPrompt)
        content = request.prompt.messages[-1]["content"]
        prompt = content if isinstance(content, str) else _told(content)
        if prompt == "refuse":
            yield RequestRejected("invalid_request", "this prompt is refused")
        yield Accepted(id=1, prompt_tokens=26)
        while prompt == "slow" and not self.read.is_set():
            yield Started(id=1)
        if prompt == "half":
            yield Started(id=1)
        while prompt == "half" and not self.read.is_set():
            yield Reading(id=1, tokens=13)
        if prompt.startswith("think"):
            yield Delta(id=1, reasoning="hmm, ")
            yield Delta(id=1, reasoning="well")
        yield Delta(id=1, text="You said: ", tokens=1)
        while prompt == "endless":
            yield Delta(id=1, text="on ")
        if prompt == "die":
            assert self._server is not None
            self._server.abort()
        yield Delta(id=1, text=prompt, tokens=30)
        if prompt == "fail":
            yield RunnerDied("tiny", "killed by SIGKILL")
        yield finished(tokens=30, prompt_tokens=26, decode_seconds=1.5)

    def _note(self, request: Any, response: Any) -> None:
        """Run once a body is read and before the first byte of the answer."""
        if request.path == "/api/chat":
            self.chats.append(request.json)

    def _shutdown(self, force: bool) -> None:
        self.shutdowns.append(force)
        self.asked_to_stop.set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = build_app("control", self.context, control=True)
        register(app, control=True)
        api.register(app)
        app.ctx.shutdown = self._shutdown
        app.register_middleware(self._note, "response")
        self._server = await serve(app, bind(self.path))
        try:
            yield
        finally:
            self.path.unlink(missing_ok=True)
            self._server.stop_listening()
            self._server.abort()
            await self._server.finished(5)
            await self.context.pulls.close()
