"""The models that the end-to-end tests serve, and daemons that serve them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.scripts import write_scripted
from live_daemon import LiveDaemon
from reference.checkpoints import make

from mlx_serve.store.store import Store

Start = Callable[..., LiveDaemon]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with `starter`, `scripted` (says what it is told), `llama` and `qwen3` (random weights)."""
    sources = tmp_path_factory.mktemp("sources")
    folders = [write_scripted(sources / "scripted"), *(make(name, sources).folder for name in ("llama", "qwen3"))]
    directory = tmp_path_factory.mktemp("store") / "models"
    store = Store.open(directory)
    store.pull("starter")
    for folder in folders:
        store.pull(str(folder))
    return directory


@pytest.fixture(scope="session")
def daemon(models: Path) -> Iterator[LiveDaemon]:
    """One daemon for every test that leaves it as it was."""
    with LiveDaemon(models, cache_max_llm_models=4) as running:
        yield running.ready()


@pytest.fixture
def start(models: Path) -> Iterator[Start]:
    """Starts daemons of a test's own, ready unless `wait=False`, and ends them."""
    started: list[LiveDaemon] = []

    def begin(*flags: str, store: Path | None = models, wait: bool = True, **options: object) -> LiveDaemon:
        started.append(LiveDaemon(store, *flags, **options))  # type: ignore[arg-type]
        return started[-1].ready() if wait else started[-1]

    yield begin
    for each in started:
        each.close()
