"""A daemon whose models say a script, and the built-in ones. Without `make clients` the packages are not asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.live_daemon import LiveDaemon, clean_environment
from support.spoken_agent import create, script, write_agent

from mlx_serve.store.store import Store

FOLDER = os.environ.get("MLX_SERVE_CLIENTS")
collect_ignore_glob = [] if FOLDER else ["test_*.py"]
KEY = "the-right-key-of-all-keys"
SCRIPTS = ("sentence", "thought", "one call", "two calls", "json")
"""What models say first; each has this name with a hyphen for the blank."""

if FOLDER:
    kept = clean_environment()
    for name in set(os.environ) - set(kept):
        del os.environ[name]
    os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false", "NO_PROXY": "*"}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clients")
    store = Store.open(folder / "models")
    store.pull(str(write_agent(folder / "agent")))
    for name in ("starter", "starter-embed", "starter-rerank", "starter-vl"):
        store.pull(name)
    return folder / "models"


@pytest.fixture(scope="session")
def daemon(models: Path) -> Iterator[LiveDaemon]:
    with LiveDaemon(models, cache_max_llm_models=4) as running:
        running.ready()
        for name in SCRIPTS:
            create(running, name.replace(" ", "-"), script(name))
        create(running, "reader", script("sentence", contents=True))
        yield running
        assert running.log("fail audit") == []


@pytest.fixture(scope="session")
def locked(models: Path) -> Iterator[LiveDaemon]:
    """A daemon that asks everyone for KEY."""
    with LiveDaemon(models, server_api_keys=KEY, server_require_keys="always") as running:
        yield running.ready()


@pytest.fixture(scope="session")
def folder() -> Path:
    """The virtual environment; its node_modules are beside it."""
    assert FOLDER is not None
    assert Path(sys.prefix).resolve() == Path(FOLDER).resolve(), "run these tests by the Python of `make clients`"
    return Path(FOLDER)
