"""Continue's command line itself, as a client of OpenAI's chat and of Ollama: its tool runs, and it finishes with the
model's sentence."""

from __future__ import annotations

import pytest
from agents.agent import Agent
from support.live_daemon import LiveDaemon
from support.spoken_agent import TEXTS

CONFIG = """\
name: local
version: 1.0.0
schema: v1
models:
  - name: local
    provider: {provider}
    model: "capital-bash"
    apiBase: {url}
    apiKey: none
    roles: [chat, edit, apply]
    capabilities: [tool_use]
"""


@pytest.mark.parametrize(("provider", "path"), [("openai", "/v1"), ("ollama", "")])
def test_a_file_is_made(daemon: LiveDaemon, agent: Agent, provider: str, path: str) -> None:
    agent.settings(".continue/config.yaml", CONFIG.format(provider=provider, url=daemon.url + path))
    ran = agent.run(
        "cn",
        *("--config", str(agent.home / ".continue/config.yaml"), "--auto", "-p", "make a file"),
        CONTINUE_TELEMETRY_ENABLED="0",
    )
    assert (ran.status, ran.made, ran.said.strip()) == (0, "hi\n", TEXTS["sentence"]), ran
