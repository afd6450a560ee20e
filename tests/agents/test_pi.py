"""pi itself, over each of its three protocols: its tool runs, and it finishes with the model's sentence."""

from __future__ import annotations

import json

import pytest
from agents.agent import Agent
from support.live_daemon import LiveDaemon
from support.spoken_agent import TEXTS


@pytest.mark.parametrize(
    ("api", "path"), [("openai-completions", "/v1"), ("openai-responses", "/v1"), ("anthropic-messages", "")]
)
def test_a_file_is_made(daemon: LiveDaemon, agent: Agent, api: str, path: str) -> None:
    model = {"id": "bash", "reasoning": False, "contextWindow": 40960}
    provider = {"baseUrl": daemon.url + path, "api": api, "apiKey": "none", "models": [model]}
    agent.settings(".pi/agent/models.json", json.dumps({"providers": {"local": provider}}))
    ran = agent.run(
        "pi",
        *("--offline", "-p", "--provider", "local", "--model", "bash", "make a file"),
        PI_OFFLINE="1",
        PI_TELEMETRY="0",
    )
    assert (ran.status, ran.made, ran.said.strip()) == (0, "hi\n", TEXTS["sentence"]), ran
