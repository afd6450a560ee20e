"""A hub, a daemon that pulls from it, and what a test wants to know of both."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes.hub.checkpoints import checkpoint
from fakes.hub.journal import Request
from fakes.hub.repository import Repository
from fakes.hub.server import Hub
from support.live_daemon import LiveDaemon
from support.live_http import SocketConnection, Streamed, exchange

Files = dict[str, bytes]
Event = dict[str, Any]
QUIET = 20.0
"""Seconds until a hang-up that nobody was asked to do could come: a line is quiet for thirty before it is given up."""


def environment(hub: Hub, folder: Path, **more: str) -> dict[str, str]:
    """What sends a daemon to this hub, with a home of the hub's tools that nobody else uses."""
    return {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"), **more}


@dataclass
class PullingDaemon:
    """`events` of a pull are the control API's lines; the last one is the model or an error."""

    hub: Hub
    daemon: LiveDaemon

    @property
    def store(self) -> Path:
        return self.daemon.home / "models"

    # pulls

    def pull(self, source: str, **body: Any) -> list[Event]:
        """A pull that succeeds."""
        events = self.events(source, **body)
        if events[-1].get("status") != "success":
            raise AssertionError(events[-1])
        return events

    def refused(self, source: str, **body: Any) -> str:
        """The sentence and the hint of a pull that fails; the daemon lives on."""
        events = self.events(source, **body)
        if "error" not in events[-1]:
            raise AssertionError(events[-1])
        assert self.daemon.get("/healthz").status == 200
        error = events[-1]["error"]
        return f"{error['message']}; {error.get('hint') or ''}"

    def events(self, source: str, **body: Any) -> list[Event]:
        """What a pull says, to its end."""
        connection = SocketConnection(self.daemon.socket_path)
        answer = exchange(connection, "POST", "/control/v1/pull", {"source": source, **body})
        return [json.loads(line) for line in answer.body.splitlines()]

    def begin(self, source: str, **body: Any) -> Streamed:
        """A pull under way; dropping it is hanging up."""
        connection = SocketConnection(self.daemon.socket_path)
        content = json.dumps({"source": source, **body})
        connection.request("POST", "/control/v1/pull", content, {"Content-Type": "application/json"})
        return Streamed(connection)

    def command(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return self.daemon.command(*arguments, **environ)

    # what is here

    def names(self) -> set[str]:
        return {model["name"] for model in self.daemon.control("GET", "/models")["models"]}

    def stored(self, files: Mapping[str, bytes]) -> set[str]:
        """Those of the files whose blobs are there, whole."""
        found = set()
        for path, content in files.items():
            blob = self.store / "blobs" / f"sha256-{hashlib.sha256(content).hexdigest()}"
            if blob.is_file() and blob.read_bytes() == content:
                found.add(path)
        return found

    def complete(self) -> bool:
        """Every byte of every model is as it should be."""
        answer = exchange(SocketConnection(self.daemon.socket_path), "POST", "/control/v1/verify", {})
        lines = [json.loads(line) for line in answer.body.splitlines()]
        return bool(lines) and all(line.get("ok") is not False and "error" not in line for line in lines)

    def blobs(self) -> set[str]:
        return {path.name for path in (self.store / "blobs").iterdir()}

    # what was asked of the hub

    def bodies(self, repository: Repository, path: str = "") -> list[Request]:
        """Requests that were answered with a file's bytes."""
        found = self.hub.journal.entries(f"*/{repository.id}/*{path}", kind="content")
        return [request for request in found if request.method == "GET"]

    def sent(self, repository: Repository, path: str = "") -> int:
        """Bytes of the repository's files that have left the hub."""
        return sum(request.sent for request in self.bodies(repository, path))


def model(*shards: int, seed: int = 0, **config: Any) -> Files:
    return checkpoint(*(shards or (200_000,)), seed=seed, **config)


def kept(files: Files) -> set[str]:
    """The paths that a pull keeps."""
    return {path for path in files if not path.startswith(".") and not path.endswith((".py", ".bin", ".onnx", ".gguf"))}


def size(files: Files) -> int:
    return sum(len(files[path]) for path in kept(files))


class StoreSnapshot:
    """Takes what is in the store before, and compares afterwards. Partial files do not count: they are for resuming."""

    def __init__(self, pulling: PullingDaemon) -> None:
        self.pulling = pulling
        self.before = self._look()

    def _look(self) -> tuple[set[str], list[str]]:
        home = self.pulling.daemon.home
        outside = [str(p) for p in home.rglob("*") if not p.is_relative_to(self.pulling.store) and p.suffix != ".log"]
        return self.pulling.names(), sorted(outside)

    def check(self) -> None:
        assert self._look() == self.before
