"""The models that the end-to-end tests serve, and daemons that serve them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import anthropic
import httpx
import ollama
import openai
import pytest
from e2e.pulling_daemon import PullingDaemon, StoreSnapshot, environment
from e2e.scripted_model import write_scripted
from fakes.hub.server import Hub
from reference.checkpoints import make
from support.forked_daemons import ForkedDaemons
from support.live_daemon import LiveDaemon

from mlx_serve.store.store import Store

Start = Callable[..., LiveDaemon]
StartPulling = Callable[..., PullingDaemon]


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
    with LiveDaemon(models, spare=True, cache_max_llm_models=4) as running:
        yield running.ready()
        assert running.log("fail audit") == []


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


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkedDaemons]:
    with ForkedDaemons() as running:
        yield running


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    """One hub for all; a test has repositories of its own, and plans faults for these only."""
    with Hub(send_buffer=64 << 10) as running:
        yield running


@pytest.fixture(scope="session")
def _pulling(hub: Hub, forks: ForkedDaemons, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PullingDaemon]:
    with forks.daemon(environ=environment(hub, tmp_path_factory.mktemp("hub-home"))) as daemon:
        yield PullingDaemon(hub, daemon.ready())


@pytest.fixture
def pulling(_pulling: PullingDaemon) -> Iterator[PullingDaemon]:
    """One daemon that pulls, for every test that lets it live. The hub is well again afterwards."""
    yield _pulling
    _pulling.hub.heal()


@pytest.fixture
def start_pulling(hub: Hub, forks: ForkedDaemons, tmp_path: Path) -> Iterator[StartPulling]:
    """Starts daemons of a test's own that pull from the hub, and ends them."""
    started: list[LiveDaemon] = []

    def begin(home: Path | None = None, *, environ: dict[str, str] | None = None, **options: object) -> PullingDaemon:
        everything = environment(hub, tmp_path) | (environ or {})
        started.append(forks.daemon(home=home, environ=everything, **options))
        return PullingDaemon(hub, started[-1].ready())

    yield begin
    hub.heal()
    for each in started:
        each.close()


@pytest.fixture
def snapshot(pulling: PullingDaemon) -> StoreSnapshot:
    """Look at the store now; `check` looks again."""
    return StoreSnapshot(pulling)


@pytest.fixture(scope="module")
def gpt(daemon: LiveDaemon) -> Iterator[openai.OpenAI]:
    """The official client of the module's daemon."""
    http = httpx.Client(trust_env=False, verify=False, timeout=100)
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="none", max_retries=0, http_client=http) as made:
        yield made


@pytest.fixture(scope="module")
def llama(daemon: LiveDaemon) -> Iterator[ollama.Client]:
    """Ollama's own client of the module's daemon."""
    made = ollama.Client(host=daemon.url, verify=False, timeout=100)
    yield made
    made._client.close()


@pytest.fixture(scope="module")
def claude(daemon: LiveDaemon) -> Iterator[anthropic.Anthropic]:
    """Anthropic's own client of the module's daemon."""
    http = anthropic.DefaultHttpxClient(trust_env=False, timeout=100)
    with anthropic.Anthropic(base_url=daemon.url, api_key="none", max_retries=0, http_client=http) as made:
        yield made
