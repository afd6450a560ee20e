"""Qwen Code itself, over OpenAI's chat: its tool runs, and it finishes with the model's sentence."""

from __future__ import annotations

import json

from agents.agent import Agent
from support.live_daemon import LiveDaemon
from support.spoken_agent import TEXTS

SETTINGS = {
    "telemetry": {"enabled": False},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"enableAutoUpdate": False},
    "security": {"auth": {"selectedType": "openai"}},
}


def test_a_file_is_made(daemon: LiveDaemon, agent: Agent) -> None:
    """Two of its tools have no parameters at all, and it sends the result as a list of parts."""
    agent.settings(".qwen/settings.json", json.dumps(SETTINGS))
    ran = agent.run(
        "qwen",
        *("--auth-type", "openai", "--yolo", "-p", "make a file"),
        OPENAI_API_KEY="none",
        OPENAI_BASE_URL=f"{daemon.url}/v1",
        OPENAI_MODEL="run-shell-command",
    )
    assert (ran.status, ran.made, ran.said.strip()) == (0, "hi\n", TEXTS["sentence"]), ran
