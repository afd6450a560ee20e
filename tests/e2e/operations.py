"""What can be asked of a daemon that is about to be killed, and the repositories that it is asked for."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.pulling_daemon import Files, kept
from fakes.hub.repository import Repository
from support.live_daemon import LiveDaemon
from support.live_http import SocketConnection

BLOCK = 4096


@dataclass
class PulledRepository:
    """A repository of the hub. `present`: bytes of its weights that its pulls had on disk when the last was cut short;
    `seconds` that a pull takes when nobody disturbs it."""

    repository: Repository
    files: Files
    present: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return self.repository.id

    def shards(self) -> Iterator[bytes]:
        yield from (content for path, content in self.files.items() if path.endswith(".safetensors"))

    @property
    def size(self) -> int:
        return sum(len(self.files[path]) for path in kept(self.files))

    def begun(self, store: Path) -> int:
        """Bytes of its weights in files that are not finished."""
        return self.look(store) - sum(
            len(content) for content in self.shards() if hashlib.sha256(content).hexdigest() in blobs_of(store)
        )

    def look(self, store: Path, but: Collection[str] = ()) -> int:
        """Bytes of its weights that lie on disk now, found by looking at the bytes themselves.

        `but`: digests of blobs that were there before; they count only where a pull of this one has spoken for them.
        """
        found = 0
        for content in self.shards():
            digest = hashlib.sha256(content).hexdigest()
            blob, part = store / "blobs" / f"sha256-{digest}", store / "partial" / f"{digest}.part"
            if blob.exists():
                found += len(content) if digest not in but or self._promised(store, digest) else 0
            elif part.exists():
                data = part.read_bytes()
                found += sum(
                    len(data[at : at + BLOCK])
                    for at in range(0, len(content), BLOCK)
                    if data[at : at + BLOCK] == content[at : at + BLOCK]
                )
        return found

    def _promised(self, store: Path, digest: str) -> bool:
        source = hashlib.sha256(self.name.encode()).hexdigest()[:16]
        return (store / "partial" / f"{digest}.{source}.promised").exists()


@dataclass
class Operation:
    """Something asked of the daemon. `adds` and `takes` are names that may come and go by it; `seconds` it may take."""

    what: str
    method: str
    path: str
    body: dict[str, Any]
    seconds: float
    adds: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    pulled: PulledRepository | None = None
    connection: http.client.HTTPConnection | None = None

    def begin(self, daemon: LiveDaemon) -> None:
        self.connection = SocketConnection(daemon.socket_path)
        content = json.dumps(self.body)
        self.connection.request(self.method, f"/control/v1{self.path}", content, {"Content-Type": "application/json"})

    def outcome(self) -> dict[str, Any]:
        """The last thing that the daemon said before it died, {} for nothing that can be read."""
        last: dict[str, Any] = {}
        if self.connection is None:
            return last
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            answer = self.connection.getresponse()
            while line := answer.readline():
                last = json.loads(line)
        self.connection.close()
        return last

    def succeeded(self, said: dict[str, Any]) -> bool:
        return "error" not in said and (said.get("status") == "success" or "id" in said)


def blobs_of(store: Path) -> set[str]:
    return {path.name.removeprefix("sha256-") for path in (store / "blobs").iterdir()}
