"""Codex itself, over the Responses API: its tools run, and it finishes with the model's sentence."""

from __future__ import annotations

import pytest
from agents.agent import Agent
from support.live_daemon import LiveDaemon
from support.spoken_agent import TEXTS

CONFIG = """\
model_provider = "mlx-serve"
model_context_window = 40960
web_search = "disabled"
[model_providers.mlx-serve]
name = "mlx-serve"
base_url = "{url}/v1"
wire_api = "responses"
"""
FLAGS = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")


@pytest.mark.parametrize(
    ("model", "made"),
    [
        pytest.param("exec", "hi\n", id="a command"),
        pytest.param("gpt-5.5", "hi\n", id="apply_patch"),
        pytest.param("thinker", None, id="a thought and a command that makes nothing"),
    ],
)
def test_its_tool_runs(daemon: LiveDaemon, agent: Agent, model: str, made: str | None) -> None:
    agent.settings(".codex/config.toml", CONFIG.format(url=daemon.url))
    ran = agent.run("codex", "exec", *FLAGS, "-m", model, "make a file")
    assert (ran.status, ran.made) == (0, made), ran
    assert ran.said.strip().endswith(TEXTS["sentence"])


def test_it_takes_us_for_ollama(daemon: LiveDaemon, agent: Agent) -> None:
    """`--oss`: it asks for the version and the list of models first, and names models as that list does."""
    agent.settings(".codex/config.toml", 'web_search = "disabled"\n')
    model = ("--oss", "--local-provider", "ollama", "-m", "exec:latest")
    ran = agent.run("codex", "exec", *FLAGS, *model, "make a file", CODEX_OSS_BASE_URL=f"{daemon.url}/v1")
    assert (ran.status, ran.made) == (0, "hi\n"), ran
    assert ran.said.strip().endswith(TEXTS["sentence"])
