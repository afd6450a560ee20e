"""Pulls from the test hub into a store: what was asked for, what was sent, what is in the store afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.hub.faults import Fault, Gate
from fakes.hub.server import Hub

from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Installed, Store

Files = dict[str, bytes]
MakeFiles = Callable[..., Files]
Offer = Callable[..., Hub]
WEIGHTS = "model.safetensors"
PLACE = f"*/{WEIGHTS}"
MB = 1 << 20


def weights(store: Store) -> bytes:
    return (store.view(store.find("owner/name")) / WEIGHTS).read_bytes()


def sent(hub: Hub, path: str = PLACE) -> int:
    """Bytes of content that the hub sent, of the weights unless told otherwise."""
    return sum(request.sent for request in hub.journal.entries(path, kind="content"))


def content(store: Store, model: Installed) -> Files:
    view = store.view(model)
    return {layer.path: (view / layer.path).read_bytes() for layer in model.manifest.layers}


def sound(store: Store) -> bool:
    return all(file.ok for file in store.verify()) and not list((store.directory / "partial").iterdir())


def damage(store: Store, hex_digest: str, kind: str) -> None:
    path = store.directory / "blobs" / f"sha256-{hex_digest}"
    if kind == "missing":
        return path.unlink()
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data[:-3] if kind == "short" else data)
    path.chmod(0o444)
    return None


def ranges(hub: Hub) -> list[str | None]:
    return [request.range for request in hub.journal.entries(PLACE, host="cdn")]


def partial(store: Store, files: Files) -> Path:
    return store.directory / "partial" / f"{hashlib.sha256(files[WEIGHTS]).hexdigest()}.part"


class Enough(Exception):
    pass


def enough_after(size: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.path == WEIGHTS and progress.completed >= size:
            raise Enough

    return report


def interrupted(store: Store, hub: Hub, files: Files, at: int = 2 * MB) -> None:
    """A pull that somebody ended with Ctrl-C, some way into the weights."""
    stalled = hub.fault(PLACE, Fault(None, on="content", pause_at=at, gate=Gate()))
    with pytest.raises(Enough):
        store.pull("owner/name", progress=enough_after(at))
    assert stalled.gate is not None
    hub.heal()
    hub.journal.clear()
    assert partial(store, files).stat().st_size >= at
