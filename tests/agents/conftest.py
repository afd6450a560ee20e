"""A daemon whose models play an agent's part. Without `make agents` the programs are not asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from agents.agent import Agent
from support.anthropic_models import write_agent_model
from support.live_daemon import LiveDaemon
from support.spoken_agent import create, script, write_agent

from mlx_serve.store.store import Store

collect_ignore_glob = [] if os.environ.get("MLX_SERVE_AGENTS") else ["test_*.py"]
ROOT = Path(__file__).parents[2]
SCRIPTS = {
    "exec": "exec",
    "gpt-5.5": "patch",
    "thinker": "thought and exec",
    "bash": "bash",
    "run-shell-command": "run_shell_command",
    "capital-bash": "Bash",
    "whole-file": "whole file",
}
"""What each model says first; the name gpt-5.5 is one for which Codex offers `apply_patch`."""


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    folder = tmp_path_factory.mktemp("agents")
    store = Store.open(folder / "models")
    store.pull(str(write_agent(folder / "agent")))
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("control/**/*.py")]
    store.pull(str(write_agent_model(folder / "claude", [file.read_text(encoding="utf-8") for file in files])))
    with LiveDaemon(folder / "models", cache_max_llm_models=2) as running:
        running.ready()
        for name, first in SCRIPTS.items():
            create(running, name, script(first))
        yield running


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)
