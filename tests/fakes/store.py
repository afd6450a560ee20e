"""A store in memory: models that are only names and sizes, and a note of what was asked of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlx_serve.store.disk.manifests import Layer, Manifest, Source
from mlx_serve.store.errors import UnknownModel
from mlx_serve.store.names import Name
from mlx_serve.store.store import Installed


def installed(name: str, *, kind: str = "llm", size: int = 1 << 20, digest: str | None = None) -> Installed:
    """A model of so many bytes; the digest follows from the name unless given."""
    manifest = Manifest(
        source=Source(kind="local", location="x"),
        kind=kind,  # type: ignore[arg-type]
        kind_reason="a test",
        layers=(Layer(path="model.safetensors", digest="sha256:" + "1" * 64, size=size, media_type="weights"),),
        architecture="qwen3",
        parameters=size // 2,
        context_length=4096,
        embedding_length=64,
        quantization=None,
        capabilities=("completion",),
        created="2026-01-01T00:00:00Z",
    )
    return Installed(
        name=Name.parse(name),
        digest=digest or name.encode().hex().ljust(64, "0")[:64],
        manifest=manifest,
        modified=datetime(2026, 1, 1, tzinfo=UTC),
        size=size,
    )


class FakeStore:
    """`views` and `pulls` name what was looked at and pulled; `damaged[name]` is raised instead of a view."""

    def __init__(self, *models: Installed) -> None:
        self.models_by_name = {model.name.display(): model for model in models}
        self.views: list[str] = []
        self.pulls: list[str] = []
        self.damaged: dict[str, Exception] = {}

    def add(self, name: str, **facts: Any) -> Installed:
        model = installed(name, **facts)
        self.models_by_name[model.name.display()] = model
        return model

    def find(self, text: str) -> Installed:
        if text not in self.models_by_name:
            raise UnknownModel(text)
        return self.models_by_name[text]

    def view(self, model: Installed) -> Path:
        name = model.name.display()
        self.views.append(name)
        if name in self.damaged:
            raise self.damaged[name]
        return Path("/nowhere") / name

    def pull(self, source: str, **options: Any) -> Installed:
        self.pulls.append(source)
        return self.add(source)
