"""opencode itself, over OpenAI's chat: its tool runs, and it finishes with the model's sentence."""

from __future__ import annotations

import json

from agents.agent import Agent
from support.live_daemon import LiveDaemon
from support.spoken_agent import TEXTS

OFFLINE = {
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
}


def config(daemon: LiveDaemon) -> str:
    model = {"tool_call": True, "limit": {"context": 40960, "output": 4096}}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "local",
        "options": {"baseURL": f"{daemon.url}/v1", "apiKey": "none"},
        "models": {"bash": model},
    }
    return json.dumps(
        {
            "autoupdate": False,
            "share": "disabled",
            "model": "local/bash",
            "small_model": "local/bash",
            "enabled_providers": ["local"],
            "permission": {"bash": "allow", "edit": "allow"},
            "provider": {"local": provider},
        }
    )


def test_a_file_is_made(daemon: LiveDaemon, agent: Agent) -> None:
    """The title is asked for at the same time as the turn; it ends after one round of tools."""
    agent.settings(".config/opencode/opencode.json", config(daemon))
    ran = agent.run("opencode", "run", "-m", "local/bash", "make a file", **OFFLINE)
    assert (ran.status, ran.made) == (0, "hi\n"), ran
    assert TEXTS["sentence"] in ran.said, ran
