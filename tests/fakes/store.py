"""A store in memory: models that are names and facts, pulls that report what they are told, a note of every change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from mlx_serve.store.disk.gc import Collected
from mlx_serve.store.disk.manifests import Layer, Manifest, Overrides, Source
from mlx_serve.store.disk.verify import Verified
from mlx_serve.store.errors import StoreBusy
from mlx_serve.store.installed import NOTHING, Defaults, Installed, Removed
from mlx_serve.store.lookup import look_up, spelled
from mlx_serve.store.names import Name
from mlx_serve.store.progress import Progress, Report, silent

SIZE = 1_500_000
DIGEST = "sha256:" + "a" * 64
WEIGHTS = "model.safetensors"
Steps = Iterable[Progress | Exception]


def installed(
    name: str, *, kind: str = "llm", size: int = SIZE, digest: str | None = None, day: int = 1, **facts: Any
) -> Installed:
    """A model of so many bytes; the digest follows from the name unless given, `facts` are fields of its manifest."""
    manifest = Manifest(
        source=Source(kind="local", location="/somewhere/tiny"),
        kind=kind,  # type: ignore[arg-type]
        kind_reason="a test",
        layers=(Layer(path=WEIGHTS, digest=DIGEST, size=size, media_type="weights"),),
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
        manifest=msgspec.structs.replace(manifest, **facts),
        modified=datetime(2026, 1, day, 12, 30, tzinfo=UTC),
        size=size,
    )


class FakeStore:
    """`script` says what a pull of a source does before the model is there: reports, or the error that ends it.

    `contents` are the files of every model's view, below `folder`.
    `views`, `pulls` (sources), `options` (of pulls), `removed` and `swept` (what each sweep was to keep) say what was
    asked; `damaged[name]` is raised instead of a view; a `busy` store cannot be swept.
    """

    def __init__(
        self,
        *models: Installed,
        folder: Path = Path("/nowhere"),
        contents: Mapping[str, str] = MappingProxyType({}),
        script: Callable[[str], Steps] | None = None,
    ) -> None:
        self.models_by_name = {model.name.display(): model for model in models}
        self.folder, self.contents = folder, contents
        self.script: Callable[[str], Steps] = script or (lambda source: ())
        self.read_only = self.busy = False
        self.aliases: dict[str, str] = {}
        self.damaged: dict[str, Exception] = {}
        self.renamed: dict[str, str] = {}
        self.views: list[str] = []
        self.pulls: list[str] = []
        self.options: list[dict[str, Any]] = []
        self.removed: list[str] = []
        self.swept: list[set[str]] = []
        self.began, self.ended = threading.Semaphore(0), threading.Semaphore(0)

    def add(self, name: str, **facts: Any) -> Installed:
        model = installed(name, **facts)
        self.models_by_name[model.name.display()] = model
        return model

    def configure(self, aliases: Mapping[str, str], defaults: Mapping[str, Defaults]) -> None:
        """`defaults` are by the names as `display` has them."""
        self.aliases = dict(aliases)
        for name, model in self.models_by_name.items():
            self.models_by_name[name] = replace(model, defaults=defaults.get(name, NOTHING))

    def unmatched(self) -> dict[str, str]:
        return {}

    def models(self) -> list[Installed]:
        return sorted(self.models_by_name.values(), key=lambda model: model.modified, reverse=True)

    def spellings(self) -> dict[Name, str]:
        return spelled([model.name for model in self.models_by_name.values()], {})

    def name_of_alias(self, text: str) -> Name | None:
        return None

    def find(self, text: str) -> Installed:
        return self.models_by_name[self._key(text)]

    def _key(self, text: str) -> str:
        return look_up(text, [model.name for model in self.models_by_name.values()], {}).display()

    def view(self, model: Installed, *, checked: bool = True) -> Path:
        name = model.name.display()
        self.views.append(name)
        if name in self.damaged:
            raise self.damaged[name]
        view = self.folder / name
        for path, text in self.contents.items():
            view.mkdir(parents=True, exist_ok=True)
            (view / path).write_text(text)
        return view

    def verify(self, name: str | None, progress: Callable[[int, int], None]) -> Iterator[Verified]:
        """Ten bytes a model."""
        models = self.models() if name is None else [self.find(name)]
        for number, model in enumerate(models, 1):
            progress(number * 10 - 5, len(models) * 10)
            shown = model.name.display()
            problem = "its bytes have changed" if shown in self.damaged else None
            yield Verified(shown, WEIGHTS, DIGEST, number * 10, len(models) * 10, problem is None, problem)

    def copy(self, source: str, destination: str) -> Installed:
        model = self.find(source)
        return self.add(destination, digest=model.digest, size=model.size)

    def create(self, source: str, destination: str, given: Overrides) -> Installed:
        return self.copy(source, destination)

    def remove(self, name: str, protect: Collection[str] = ()) -> Removed:
        gone = self.models_by_name.pop(self._key(name))
        self.removed.append(str(gone.name))
        self.swept.append(set(protect))
        return Removed(gone.name, gone.digest)

    def gc(self, dry_run: bool = False, protect: Collection[str] = ()) -> Collected:
        if self.busy:
            raise StoreBusy("a pull runs")
        self.swept.append(set(protect))
        return Collected(blobs=2, bytes=3_000_000, partials=1)

    def pull(self, source: str, *, progress: Report = silent, **options: Any) -> Installed:
        self.pulls.append(source)
        self.options.append(options)
        self.began.release()
        try:
            for step in self.script(source):
                if isinstance(step, Exception):
                    raise step
                progress(step)
        finally:
            self.ended.release()
        name = options.get("name") or self.renamed.get(source) or _named(source)
        return self.add(name, kind=options.get("kind") or "llm")


def _named(source: str) -> str:
    if source == "starter":
        return "mlx-serve/starter"
    return f"local/{Path(source).name}" if source.startswith("/") else source
